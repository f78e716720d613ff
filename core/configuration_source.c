/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a configuration's text with all it includes. The includes are joined
 * here rather than by libconfig, whose include directory is one for all files:
 * here `@include` means beside the including file, else the packaged one.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/configuration_internal.h"
#include "lib/file.h"

#ifndef HACTL_DATADIR
#define HACTL_DATADIR "/usr/local/share/hactl"
#endif

#define TEXT_MAX  (1u << 20)
#define DEPTH_MAX 10

/* What of libconfig's grammar matters across lines. */
enum place { IN_TEXT, IN_STRING, IN_COMMENT };

struct reader {
    struct ha_document *document;
    enum place place;
    struct ha_error *error;
};

static int read_file(struct reader *reader, const char *path, struct ha_source from, int depth);

/* ---- paths */

char *ha_path_directory(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static const char *home(void)
{
    const char *directory = getenv("HOME");
    const struct passwd *user;

    if (directory != NULL && directory[0] == '/')
        return directory;
    user = getpwuid(geteuid());
    return user == NULL ? "/" : user->pw_dir;
}

char *ha_path_resolve(const char *path, const char *directory)
{
    char *resolved = NULL, *here = NULL;
    int length;

    if (path[0] == '/')
        return strdup(path);
    if (path[0] == '~' && (path[1] == '/' || path[1] == '\0'))
        return asprintf(&resolved, "%s%s", home(), path + 1) < 0 ? NULL : resolved;
    if (directory[0] != '/' && (here = getcwd(NULL, 0)) == NULL)
        return NULL;
    if (strncmp(path, "./", 2) == 0)
        path += 2;
    if (here != NULL && strcmp(directory, ".") == 0)
        length = asprintf(&resolved, "%s/%s", here, path);
    else
        length = asprintf(&resolved, "%s%s%s/%s", here == NULL ? "" : here, here == NULL ? "" : "/", directory, path);
    free(here);
    return length < 0 ? NULL : resolved;
}

static char *readable(const char *directory, const char *middle, const char *name)
{
    char *path;

    if (asprintf(&path, "%s%s/%s", directory, middle, name) < 0)
        return NULL;
    if (access(path, R_OK) == 0)
        return path;
    free(path);
    return NULL;
}

char *ha_data_file(const char *name)
{
    const char *chosen = getenv("HACTL_DATA_DIR");
    char program[4096], *slash, *path;
    ssize_t length;

    if (chosen != NULL && chosen[0] != '\0')
        return readable(chosen, "", name);
    length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length < 0 ? 0 : length] = '\0';
    slash = strrchr(program, '/');
    if (slash != NULL) {
        *slash = '\0';
        slash = strrchr(program, '/');
        if (slash != NULL && strcmp(slash, "/.libs") == 0)
            *slash = '\0';
        path = readable(program, "/conf", name);
        if (path != NULL)
            return path;
    }
    return readable(HACTL_DATADIR, "", name);
}

/* ---- joining */

static const char *keep_name(struct ha_document *document, const char *name)
{
    char **files = reallocarray(document->files, document->file_count + 1, sizeof *files);

    if (files == NULL)
        return NULL;
    document->files = files;
    files[document->file_count] = strdup(name);
    return files[document->file_count] == NULL ? NULL : files[document->file_count++];
}

/* A setting may be a secret, so that no copy of it stays behind. */
static int make_room(struct ha_document *document, size_t needed)
{
    size_t room = document->room != 0 ? document->room : 8192;
    char *text;

    if (needed <= document->room)
        return 0;
    while (room < needed)
        room *= 2;
    text = malloc(room);
    if (text == NULL)
        return -1;
    if (document->text != NULL)
        memcpy(text, document->text, document->length);
    ha_secret_free(document->text, document->length);
    document->text = text;
    document->room = room;
    return 0;
}

static int append_line(struct reader *reader, const char *line, size_t length, struct ha_source source)
{
    struct ha_document *document = reader->document;

    if (document->length + length + 2 > TEXT_MAX)
        return ha_fail_at(reader->error, source, "the configuration is longer than %u bytes", TEXT_MAX);
    if (make_room(document, document->length + length + 2) != 0)
        return ha_fail(reader->error, HA_EXIT_INTERNAL, "out of memory");
    if (document->line_count % 256 == 0) {
        struct ha_source *lines = reallocarray(document->lines, document->line_count + 256, sizeof *lines);

        if (lines == NULL)
            return ha_fail(reader->error, HA_EXIT_INTERNAL, "out of memory");
        document->lines = lines;
    }
    document->lines[document->line_count++] = source;
    memcpy(document->text + document->length, line, length);
    document->length += length;
    document->text[document->length++] = '\n';
    document->text[document->length] = '\0';
    return 0;
}

/* Follows strings and comments through a line, so that an @include within
 * one of them is none. */
static enum place place_after(enum place place, const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char next = i + 1 < length ? line[i + 1] : '\0';

        if (place == IN_COMMENT) {
            if (line[i] == '*' && next == '/') {
                place = IN_TEXT;
                i++;
            }
        } else if (place == IN_STRING) {
            if (line[i] == '\\')
                i++;
            else if (line[i] == '"')
                place = IN_TEXT;
        } else if (line[i] == '"') {
            place = IN_STRING;
        } else if (line[i] == '/' && next == '*') {
            place = IN_COMMENT;
            i++;
        } else if (line[i] == '#' || (line[i] == '/' && next == '/')) {
            break;
        }
    }
    return place;
}

static bool is_include(const char *line, size_t length, const char **name, size_t *name_length)
{
    static const char word[] = "@include";
    const char *end = line + length, *quote;

    while (line < end && (*line == ' ' || *line == '\t'))
        line++;
    if ((size_t)(end - line) < sizeof word - 1 || strncmp(line, word, sizeof word - 1) != 0)
        return false;
    line += sizeof word - 1;
    while (line < end && (*line == ' ' || *line == '\t'))
        line++;
    quote = line < end && *line == '"' ? memchr(line + 1, '"', (size_t)(end - line - 1)) : NULL;
    *name = line + 1;
    *name_length = quote == NULL ? 0 : (size_t)(quote - line - 1);
    return true;
}

static void include_missing(struct ha_error *error, struct ha_source source, const char *name, const char *directory)
{
    const char *chosen = getenv("HACTL_DATA_DIR");

    ha_fail_at(error, source, "no file \"%s\" in %s, nor among hactl's own in %s", name, directory,
               chosen != NULL && chosen[0] != '\0' ? chosen : HACTL_DATADIR);
    ha_advise(error, "hactl's own are installed with it; without, set HACTL_DATA_DIR to the directory conf/ of its "
                     "sources; any other file belongs beside the one that includes it");
}

static int read_include(struct reader *reader, const char *name, struct ha_source source, int depth)
{
    char *directory = ha_path_directory(source.file);
    char *path = NULL;
    int result = -1;

    if (directory == NULL)
        return ha_fail(reader->error, HA_EXIT_INTERNAL, "out of memory");
    if (name[0] == '/' || name[0] == '~')
        path = ha_path_resolve(name, directory);
    else if (strcmp(directory, ".") == 0 && access(name, R_OK) == 0)
        path = strdup(name);
    else if ((path = readable(directory, "", name)) == NULL)
        path = ha_data_file(name);
    if (depth >= DEPTH_MAX)
        ha_fail_at(reader->error, source, "includes go deeper than %d (does a file include itself?)", DEPTH_MAX);
    else if (path == NULL)
        include_missing(reader->error, source, name, directory);
    else
        result = read_file(reader, path, source, depth + 1);
    free(directory);
    free(path);
    return result;
}

static int read_line(struct reader *reader, const char *line, size_t length, struct ha_source source, int depth)
{
    const char *name;
    size_t name_length;
    char *copy;
    int result;

    if (reader->place != IN_TEXT || !is_include(line, length, &name, &name_length)) {
        reader->place = place_after(reader->place, line, length);
        return append_line(reader, line, length, source);
    }
    if (name_length == 0)
        return ha_fail_at(reader->error, source, "an include is written @include \"file\"");
    copy = strndup(name, name_length);
    if (copy == NULL)
        return ha_fail(reader->error, HA_EXIT_INTERNAL, "out of memory");
    result = read_include(reader, copy, source, depth);
    free(copy);
    return result;
}

static int read_lines(struct reader *reader, const char *content, struct ha_source source, int depth)
{
    while (*content != '\0') {
        size_t length = strcspn(content, "\n");

        if (read_line(reader, content, length, source, depth) != 0)
            return -1;
        source.line++;
        content += length + (content[length] == '\n' ? 1 : 0);
    }
    return 0;
}

static char *read_standard_input(size_t *size)
{
    char *content = malloc(TEXT_MAX + 1);

    if (content == NULL)
        return NULL;
    *size = fread(content, 1, TEXT_MAX, stdin);
    content[*size] = '\0';
    return content;
}

static int read_file(struct reader *reader, const char *path, struct ha_source from, int depth)
{
    bool standard_input = depth == 0 && strcmp(path, "-") == 0;
    const char *name = keep_name(reader->document, standard_input ? "standard input" : path);
    struct ha_source source = {.file = name, .line = 1};
    char *content = NULL;
    size_t size = 0;
    int result = 0;

    if (source.file == NULL)
        return ha_fail(reader->error, HA_EXIT_INTERNAL, "out of memory");
    if (standard_input)
        content = read_standard_input(&size);
    else
        result = ha_file_read(path, TEXT_MAX, &content, &size);
    if (result != 0 || content == NULL) {
        char where[300];

        ha_fail_errno(reader->error, HA_EXIT_USAGE, result, "%scannot read %s",
                      ha_source_text(from, where, sizeof where), path);
        return -1;
    }
    if (strlen(content) != size)
        result = ha_fail_at(reader->error, source, "this is no text (it has a zero byte)");
    else
        result = read_lines(reader, content, source, depth);
    free(content);
    return result;
}

/* ---- documents */

static struct ha_source line_source(const struct ha_document *document, unsigned line)
{
    struct ha_source none = {NULL, 0};

    if (document->line_count == 0)
        return none;
    if (line == 0)
        line = 1;
    return document->lines[line <= document->line_count ? line - 1 : document->line_count - 1];
}

struct ha_source ha_document_source(const struct ha_document *document, const config_setting_t *setting)
{
    return line_source(document, config_setting_source_line(setting));
}

static void text_free(struct ha_document *document)
{
    ha_secret_free(document->text, document->length);
    document->text = NULL;
    document->length = document->room = 0;
}

int ha_document_read(struct ha_document *document, const char *path, struct ha_error *error)
{
    struct reader reader = {.document = document, .error = error};
    struct ha_source nowhere = {NULL, 0};
    int parsed;

    config_init(&document->config);
    document->parsed = true;
    if (read_file(&reader, path, nowhere, 0) != 0)
        return -1;
    parsed = config_read_string(&document->config, document->text == NULL ? "" : document->text);
    text_free(document);
    if (parsed == CONFIG_TRUE)
        return 0;
    ha_fail_at(error, line_source(document, (unsigned)config_error_line(&document->config)), "%s",
               config_error_text(&document->config));
    if (strstr(config_error_text(&document->config), "duplicate") != NULL)
        ha_advise(error, "what this line begins is there already: rename or remove one of the two");
    else
        ha_advise(error,
                  "see this line and the one before: a quote, a bracket or a \";\" is missing, or a comma is too many");
    return -1;
}

void ha_document_clear(struct ha_document *document)
{
    if (document->parsed)
        config_destroy(&document->config);
    for (size_t i = 0; i < document->file_count; i++)
        free(document->files[i]);
    free(document->files);
    free(document->lines);
    text_free(document);
}
