/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds a plugin's file, judges it before any of its code runs (loading a
 * shared object runs its constructors), and loads it.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/plugins.h"

#ifndef HACTL_PLUGINDIR
#define HACTL_PLUGINDIR "/usr/local/lib/hactl/plugins"
#endif

#define NAMES_MAX 64

static const char *option_directory;

void ha_plugin_directory_set(const char *directory)
{
    option_directory = directory;
}

/* ---- finding */

/* The build directory of an uninstalled hactl: the program's own, less
 * libtool's .libs. */
static int program_directory(char *out, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", out, size - 1);
    char *slash;

    if (length <= 0)
        return -1;
    out[length] = '\0';
    slash = strrchr(out, '/');
    if (slash == NULL)
        return -1;
    *slash = '\0';
    slash = strrchr(out, '/');
    if (slash != NULL && strcmp(slash, "/.libs") == 0)
        *slash = '\0';
    return 0;
}

struct places {
    char *directories[4];
    bool built[4]; /* DIRECTORY/NAME/.libs/NAME.so, as libtool leaves them, rather than DIRECTORY/NAME.so */
    size_t count;
};

static int places_add(struct places *places, const char *directory, bool built)
{
    char *copy = strdup(directory);

    if (copy == NULL)
        return -1;
    places->directories[places->count] = copy;
    places->built[places->count] = built;
    places->count++;
    return 0;
}

static void places_clear(struct places *places)
{
    for (size_t i = 0; i < places->count; i++)
        free(places->directories[i]);
}

static int places_fill(struct places *places)
{
    const char *chosen = option_directory != NULL ? option_directory : getenv("HACTL_PLUGIN_DIR");
    char directory[4096], built[4200];

    if (chosen != NULL && chosen[0] != '\0' &&
        (places_add(places, chosen, false) != 0 || places_add(places, chosen, true) != 0))
        return -1;
    if (program_directory(directory, sizeof directory) == 0) {
        snprintf(built, sizeof built, "%s/plugins", directory);
        if (access(built, X_OK) == 0 && places_add(places, built, true) != 0)
            return -1;
    }
    return places_add(places, HACTL_PLUGINDIR, false);
}

static char *place_path(const struct places *places, size_t index, const char *name)
{
    bool built = places->built[index];
    char *path;

    if (asprintf(&path, "%s/%s%s%s.so", places->directories[index], built ? name : "", built ? "/.libs/" : "", name) <
        0)
        return NULL;
    return path;
}

/* What is there, for "did you mean". */
static const char *similar_name(const struct places *places, const char *name, char *out, size_t size)
{
    char *names[NAMES_MAX + 1] = {NULL};
    size_t count = 0;
    const char *meant;

    for (size_t i = 0; i < places->count; i++) {
        DIR *directory = opendir(places->directories[i]);
        struct dirent *entry;

        while (directory != NULL && count < NAMES_MAX && (entry = readdir(directory)) != NULL) {
            char *candidate = strndup(entry->d_name, strcspn(entry->d_name, "."));
            char *path = candidate == NULL || candidate[0] == '\0' ? NULL : place_path(places, i, candidate);

            if (path != NULL && access(path, R_OK) == 0)
                names[count++] = candidate;
            else
                free(candidate);
            free(path);
        }
        if (directory != NULL)
            closedir(directory);
    }
    meant = ha_did_you_mean(name, (const char *const *)names);
    if (meant != NULL)
        snprintf(out, size, "%s", meant);
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    return meant == NULL ? NULL : out;
}

static int not_found(const struct places *places, const char *name, struct ha_error *error)
{
    char looked[400] = "", meant[64];
    size_t used = 0;

    for (size_t i = 0; i < places->count && used < sizeof looked; i++)
        if (i == 0 || strcmp(places->directories[i], places->directories[i - 1]) != 0)
            used += (size_t)snprintf(looked + used, sizeof looked - used, "%s%s", used == 0 ? "" : ", ",
                                     places->directories[i]);
    ha_fail(error, HA_EXIT_USAGE, "no plugin \"%s\" in %s", name, looked);
    if (similar_name(places, name, meant, sizeof meant) != NULL)
        ha_advise(error, "did you mean \"%s\"?", meant);
    else
        ha_advise(error, "install it there, or name its file by a path with a slash");
    return -1;
}

int ha_plugin_path(const char *name, char **out, struct ha_error *error)
{
    struct places places = {.count = 0};
    char *path = NULL;

    if (strchr(name, '/') != NULL) {
        path = realpath(name, NULL);
        if (path == NULL)
            return ha_fail_errno(error, HA_EXIT_USAGE, errno, "plugin %s", name);
        *out = path;
        return 0;
    }
    if (places_fill(&places) != 0) {
        places_clear(&places);
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    }
    for (size_t i = 0; i < places.count && path == NULL; i++) {
        char *candidate = place_path(&places, i, name);

        if (candidate != NULL && access(candidate, F_OK) == 0)
            path = realpath(candidate, NULL);
        free(candidate);
    }
    if (path == NULL)
        not_found(&places, name, error);
    places_clear(&places);
    if (path == NULL)
        return -1;
    *out = path;
    return 0;
}

/* ---- judging the file */

struct file_judge {
    const char *path;
    char where[300];
    struct ha_error *error;
};

/* Whoever may write the file, or put another in its place, would run code as
 * the user. */
static int judge_owner(const struct file_judge *judge, const char *path, const struct stat *status, const char *thing,
                       mode_t forbidden)
{
    if (status->st_uid != 0 && status->st_uid != geteuid()) {
        ha_fail(judge->error, HA_EXIT_PLUGIN, "%splugin %s: its %s belongs to user %u, neither to root nor to you",
                judge->where, judge->path, thing, (unsigned)status->st_uid);
        ha_advise(judge->error, "if you trust it: chown root %s", path);
        return -1;
    }
    if ((status->st_mode & forbidden) != 0) {
        ha_fail(judge->error, HA_EXIT_PLUGIN, "%splugin %s: its %s can be written by others (mode %04o)", judge->where,
                judge->path, thing, (unsigned)(status->st_mode & 07777));
        ha_advise(judge->error, "if you trust what is there now: chmod %s %s",
                  (forbidden & S_IWGRP) != 0 ? "go-w" : "o-w", path);
        return -1;
    }
    return 0;
}

/* A directory that anybody may write to is as good as the file itself; further
 * up it may be one like /tmp, where everybody's entries are safe from others. */
static int judge_directory(const struct file_judge *judge, const char *directory, bool innermost)
{
    struct stat status;

    if (stat(directory, &status) != 0)
        return ha_fail_errno(judge->error, HA_EXIT_PLUGIN, errno, "%splugin %s: %s", judge->where, judge->path,
                             directory);
    if (!innermost && (status.st_mode & S_ISVTX) != 0)
        status.st_mode &= ~(mode_t)S_IWOTH;
    return judge_owner(judge, directory, &status, innermost ? "directory" : "parent directory", S_IWOTH);
}

/* From the file's own directory up to the root. With all of them sound, nobody
 * who is not trusted anyway can put another file there before it is loaded. */
static int judge_directories(const struct file_judge *judge)
{
    char *directory = strdup(judge->path), *slash;
    int result = directory == NULL ? ha_fail(judge->error, HA_EXIT_INTERNAL, "out of memory") : 0;
    bool innermost = true;

    while (result == 0 && (slash = strrchr(directory, '/')) != NULL && directory[1] != '\0') {
        slash[slash == directory ? 1 : 0] = '\0';
        result = judge_directory(judge, directory, innermost);
        innermost = false;
    }
    free(directory);
    return result;
}

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden"))); /* this program's own, from the linker */

/* The dynamic loader maps what the headers say; of a file that was cut short
 * the pages are not there, and touching one ends the process. */
static bool is_whole(int fd, const ElfW(Ehdr) * header, uint64_t size)
{
    ElfW(Phdr) program;

    if (header->e_phentsize != sizeof program ||
        (header->e_shnum != 0 &&
         (header->e_shoff > size || size - header->e_shoff < (uint64_t)header->e_shnum * header->e_shentsize)))
        return false;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        off_t at = (off_t)(header->e_phoff + i * sizeof program);

        if (pread(fd, &program, sizeof program, at) != (ssize_t)sizeof program || program.p_offset > size ||
            program.p_filesz > size - program.p_offset)
            return false;
    }
    return true;
}

static int judge_elf(const struct file_judge *judge, int fd, off_t size)
{
    ElfW(Ehdr) header;

    if (pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return ha_fail(judge->error, HA_EXIT_PLUGIN, "%splugin %s is not a shared object (no ELF file)", judge->where,
                       judge->path);
    if (header.e_ident[EI_CLASS] != __ehdr_start.e_ident[EI_CLASS] ||
        header.e_ident[EI_DATA] != __ehdr_start.e_ident[EI_DATA] || header.e_machine != __ehdr_start.e_machine)
        return ha_fail(judge->error, HA_EXIT_PLUGIN,
                       "%splugin %s was built for another machine (ELF machine %u, class %u; this hactl is %u, %u)",
                       judge->where, judge->path, header.e_machine, header.e_ident[EI_CLASS], __ehdr_start.e_machine,
                       __ehdr_start.e_ident[EI_CLASS]);
    if (header.e_type != ET_DYN)
        return ha_fail(judge->error, HA_EXIT_PLUGIN, "%splugin %s is an ELF file but no shared object", judge->where,
                       judge->path);
    if (!is_whole(fd, &header, (uint64_t)size)) {
        ha_fail(judge->error, HA_EXIT_PLUGIN, "%splugin %s is not whole: it was cut short at %lld bytes", judge->where,
                judge->path, (long long)size);
        ha_advise(judge->error, "build or install it again");
        return -1;
    }
    return 0;
}

static int judge_file(const struct file_judge *judge)
{
    struct stat status;
    int result = -1, fd = -1;

    if (judge->path[0] != '/')
        return ha_fail(judge->error, HA_EXIT_PLUGIN, "%splugin %s: not an absolute path", judge->where, judge->path);
    /* O_NONBLOCK: a FIFO must not hold us before it is seen to be one. */
    fd = open(judge->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return ha_fail_errno(judge->error, HA_EXIT_PLUGIN, errno, "%splugin %s", judge->where, judge->path);
    if (fstat(fd, &status) != 0)
        ha_fail_errno(judge->error, HA_EXIT_PLUGIN, errno, "%splugin %s", judge->where, judge->path);
    else if (!S_ISREG(status.st_mode))
        ha_fail(judge->error, HA_EXIT_PLUGIN, "%splugin %s is not a regular file", judge->where, judge->path);
    else if (judge_owner(judge, judge->path, &status, "file", S_IWGRP | S_IWOTH) == 0 && judge_directories(judge) == 0)
        result = judge_elf(judge, fd, status.st_size);
    close(fd);
    return result;
}

/* ---- loading */

static int find_descriptor(const struct file_judge *judge, void *handle, const struct hactl_plugin **out, size_t *size)
{
    const void *symbol = dlsym(handle, "hactl_plugin");
    Dl_info info;
    void *extra = NULL;
    const ElfW(Sym) * entry;

    if (symbol == NULL)
        return ha_fail(judge->error, HA_EXIT_PLUGIN, "%splugin %s has no descriptor (no symbol \"hactl_plugin\")",
                       judge->where, judge->path);
    *size = 0;
    if (dladdr1(symbol, &info, &extra, RTLD_DL_SYMENT) != 0 && extra != NULL) {
        entry = extra;
        *size = entry->st_size;
        if (ELF64_ST_TYPE(entry->st_info) != STT_OBJECT || entry->st_size < 8)
            return ha_fail(judge->error, HA_EXIT_PLUGIN,
                           "%splugin %s has no descriptor (its symbol \"hactl_plugin\" is no data)", judge->where,
                           judge->path);
    }
    *out = symbol;
    return 0;
}

int ha_plugin_load(const char *path, struct ha_source source, struct ha_plugin **out, struct ha_error *error)
{
    struct file_judge judge = {.path = path, .error = error};
    struct ha_plugin *plugin = NULL;
    size_t size = 0;

    ha_source_text(source, judge.where, sizeof judge.where);
    if (judge_file(&judge) != 0)
        return -1;
    plugin = calloc(1, sizeof *plugin);
    if (plugin == NULL || (plugin->path = strdup(path)) == NULL) {
        ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
        goto out;
    }
    /* NODELETE: TLS libraries that a plugin brings do not unload cleanly. */
    plugin->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (plugin->handle == NULL) {
        ha_fail(error, HA_EXIT_PLUGIN, "%splugin %s cannot be loaded: %s", judge.where, path, dlerror());
        goto out;
    }
    if (find_descriptor(&judge, plugin->handle, &plugin->descriptor, &size) != 0 ||
        ha_plugin_judge(plugin->descriptor, size, path, source, error) != 0)
        goto out;
    *out = plugin;
    return 0;
out:
    ha_plugin_free(plugin);
    return -1;
}

void ha_plugin_free(struct ha_plugin *plugin)
{
    if (plugin == NULL)
        return;
    if (plugin->handle != NULL)
        dlclose(plugin->handle);
    free(plugin->path);
    free(plugin);
}
