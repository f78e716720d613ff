/* SPDX-License-Identifier: Apache-2.0 */
#include "guest.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void add(char ***list, const char *text)
{
    size_t count = 0;

    while (*list != NULL && (*list)[count] != NULL) {
        count++;
    }
    *list = realloc(*list, (count + 2) * sizeof(char *));
    if (*list == NULL) {
        abort();
    }
    (*list)[count] = strdup(text);
    (*list)[count + 1] = NULL;
}

static void clear(char ***list)
{
    for (size_t i = 0; *list != NULL && (*list)[i] != NULL; i++) {
        free((*list)[i]);
    }
    free(*list);
    *list = NULL;
}

/* An empty assignment forgets the ones before it, as in systemd. */
static void assign(char ***list, const char *value)
{
    if (value[0] == '\0') {
        clear(list);
    } else {
        add(list, value);
    }
}

int64_t guest_duration_ms(const char *text)
{
    char *end;
    double number = strtod(text, &end);

    while (*end == ' ') {
        end++;
    }
    if (strncmp(end, "ms", 2) == 0) {
        return (int64_t)number;
    }
    if (strncmp(end, "min", 3) == 0) {
        return (int64_t)(number * 60000);
    }
    return (int64_t)(number * 1000);
}

static bool truth(const char *text)
{
    return strcasecmp(text, "yes") == 0 || strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0 ||
           strcasecmp(text, "on") == 0;
}

/* Environment= holds several, each perhaps in quotes. */
static void add_environment(struct guest_unit_file *file, const char *value)
{
    char *word = malloc(strlen(value) + 1);

    if (word == NULL) {
        abort();
    }
    while (*value != '\0') {
        size_t n = 0;
        char quote = '\0';

        while (isspace((unsigned char)*value)) {
            value++;
        }
        for (; *value != '\0' && (quote != '\0' || !isspace((unsigned char)*value)); value++) {
            if (quote == '\0' && (*value == '"' || *value == '\'')) {
                quote = *value;
            } else if (*value == quote) {
                quote = '\0';
            } else {
                word[n++] = *value;
            }
        }
        word[n] = '\0';
        if (n > 0) {
            add(&file->environment, word);
        }
    }
    free(word);
}

static void set_text(char **text, const char *value)
{
    free(*text);
    *text = strdup(value);
}

static void set_restart(struct guest_unit_file *file, const char *value)
{
    file->restart = strcmp(value, "always") == 0                                        ? RESTART_ALWAYS
                    : strncmp(value, "on-", 3) == 0 && strcmp(value, "on-success") != 0 ? RESTART_ON_FAILURE
                                                                                        : RESTART_NO;
}

static void take(struct guest_unit_file *file, const char *section, const char *name, const char *value)
{
    if (strcmp(section, "Install") == 0) {
        file->wanted = file->wanted || strcmp(name, "WantedBy") == 0 || strcmp(name, "RequiredBy") == 0;
    } else if (strcmp(section, "Service") != 0) {
        return;
    } else if (strcmp(name, "ExecStartPre") == 0) {
        assign(&file->start_pre, value);
    } else if (strcmp(name, "ExecStart") == 0) {
        assign(&file->start, value);
    } else if (strcmp(name, "ExecStartPost") == 0) {
        assign(&file->start_post, value);
    } else if (strcmp(name, "ExecStop") == 0) {
        assign(&file->stop, value);
    } else if (strcmp(name, "Environment") == 0) {
        add_environment(file, value);
    } else if (strcmp(name, "EnvironmentFile") == 0) {
        assign(&file->environment_files, value);
    } else if (strcmp(name, "Type") == 0) {
        set_text(&file->type, value);
    } else if (strcmp(name, "User") == 0) {
        set_text(&file->user, value);
    } else if (strcmp(name, "WorkingDirectory") == 0) {
        set_text(&file->directory, value);
    } else if (strcmp(name, "Restart") == 0) {
        set_restart(file, value);
    } else if (strcmp(name, "RestartSec") == 0) {
        file->restart_ms = guest_duration_ms(value);
    } else if (strcmp(name, "TimeoutStopSec") == 0) {
        file->stop_ms = guest_duration_ms(value);
    } else if (strcmp(name, "StandardOutput") == 0) {
        file->console = strstr(value, "console") != NULL;
    } else if (strcmp(name, "RemainAfterExit") == 0) {
        file->remain_after_exit = truth(value);
    }
}

/* A line that ends in a backslash goes on in the next one. */
static bool read_line(FILE *in, char **line, size_t *size)
{
    size_t used = 0;
    int c;

    while ((c = fgetc(in)) != EOF) {
        if (used + 2 > *size) {
            *size = *size == 0 ? 256 : *size * 2;
            *line = realloc(*line, *size);
            if (*line == NULL) {
                abort();
            }
        }
        if (c == '\n' && used > 0 && (*line)[used - 1] == '\\') {
            (*line)[used - 1] = ' ';
        } else if (c == '\n') {
            break;
        } else {
            (*line)[used++] = (char)c;
        }
    }
    if (c == EOF && used == 0) {
        return false;
    }
    if (*line == NULL) {
        *size = 2;
        *line = malloc(*size);
        if (*line == NULL) {
            abort();
        }
    }
    (*line)[used] = '\0';
    return true;
}

static char *trim(char *text)
{
    char *end = text + strlen(text);

    while (isspace((unsigned char)*text)) {
        text++;
    }
    while (end > text && isspace((unsigned char)end[-1])) {
        *--end = '\0';
    }
    return text;
}

static void read_file(struct guest_unit_file *file, FILE *in)
{
    char *line = NULL, section[64] = "";
    size_t size = 0;

    while (read_line(in, &line, &size)) {
        char *text = trim(line), *equals = strchr(text, '=');

        if (text[0] == '#' || text[0] == ';' || text[0] == '\0') {
            continue;
        }
        if (text[0] == '[') {
            snprintf(section, sizeof(section), "%.*s", (int)strcspn(text + 1, "]"), text + 1);
        } else if (equals != NULL) {
            *equals = '\0';
            take(file, section, trim(text), trim(equals + 1));
        }
    }
    free(line);
}

struct guest_unit_file *guest_unit_file_parse(FILE *in)
{
    struct guest_unit_file *file = calloc(1, sizeof(*file));

    if (file == NULL) {
        abort();
    }
    file->type = strdup("simple");
    file->restart_ms = 100;
    file->stop_ms = 10000;
    read_file(file, in);
    return file;
}

struct guest_unit_file *guest_unit_file_read(const char *name)
{
    static const char *const directories[] = {GUEST_UNIT_DIR, "/run/systemd/system", GUEST_UNIT_DIR2};
    struct guest_unit_file *file;
    FILE *in = NULL;
    char path[512];

    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]) && in == NULL; i++) {
        snprintf(path, sizeof(path), "%s/%s%s", directories[i], name, strchr(name, '.') == NULL ? ".service" : "");
        in = fopen(path, "re");
    }
    if (in == NULL) {
        return NULL;
    }
    file = guest_unit_file_parse(in);
    fclose(in);
    return file;
}

void guest_unit_file_free(struct guest_unit_file *file)
{
    if (file == NULL) {
        return;
    }
    clear(&file->start_pre);
    clear(&file->start);
    clear(&file->start_post);
    clear(&file->stop);
    clear(&file->environment);
    clear(&file->environment_files);
    free(file->type);
    free(file->user);
    free(file->directory);
    free(file);
}
