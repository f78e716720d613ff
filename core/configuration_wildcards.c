/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys with a `*` in their name, such as "profiles.*.days": the star stands
 * for each of the names that somebody gave. In the file that is a group of
 * groups, profiles = { web = { days = 30; }; }; with --set it is
 * plugins.pki.profiles.web.days=30. Who reads the settings finds the names as
 * the list "profiles.*" and then "profiles.web.days".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/configuration_internal.h"

/* ---- matching, component by component */

static size_t component(const char *text)
{
    return strcspn(text, ".");
}

/* How far `name` goes along with `pattern`. */
static enum ha_key_match match_one(const char *pattern, const char *name)
{
    for (;;) {
        size_t wanted = component(pattern), given = component(name);

        if (given == 0 ||
            ((wanted != 1 || *pattern != '*') && (wanted != given || strncmp(pattern, name, wanted) != 0)))
            return HA_KEY_NONE;
        pattern += wanted;
        name += given;
        if (*name == '\0')
            return *pattern == '\0' ? HA_KEY_IS : HA_KEY_CONTAINS;
        if (*pattern == '\0')
            return HA_KEY_NONE;
        pattern++;
        name++;
    }
}

enum ha_key_match ha_key_match(const struct hactl_key *keys, const char *name)
{
    enum ha_key_match best = HA_KEY_NONE;

    for (; keys != NULL && keys->name != NULL && best != HA_KEY_IS; keys++) {
        enum ha_key_match match = match_one(keys->name, name);
        if (match > best)
            best = match;
    }
    return best;
}

/* Where the pattern stands after as many components as `part` has; NULL when
 * `part` ("cluster.", "profiles.web.") is not the beginning of it. */
static const char *after(const char *pattern, const char *part)
{
    while (*part != '\0') {
        size_t wanted = component(pattern), given = component(part);

        if (pattern[wanted] != '.' || part[given] != '.' ||
            ((wanted != 1 || *pattern != '*') && (wanted != given || strncmp(pattern, part, wanted) != 0)))
            return NULL;
        pattern += wanted + 1;
        part += given + 1;
    }
    return pattern;
}

void ha_key_candidates(const struct hactl_key *keys, const char *part, const char *reserved, const char **out,
                       size_t limit, char *words, size_t size)
{
    size_t count = 0, used = 0;

    for (; keys != NULL && keys->name != NULL && count < limit; keys++) {
        const char *rest = after(keys->name, part);
        size_t length = rest != NULL ? component(rest) : 0;

        if (length == 0 || *rest == '*' || used + length + 1 > size)
            continue;
        memcpy(words + used, rest, length);
        words[used + length] = '\0';
        out[count++] = words + used;
        used += length + 1;
    }
    if (reserved != NULL)
        out[count++] = reserved;
    out[count] = NULL;
}

/* Is the last component of `name` one that somebody chose? */
bool ha_key_is_named(const struct hactl_key *keys, const char *name)
{
    char part[300];
    const char *dot = strrchr(name, '.');

    snprintf(part, sizeof part, "%.*s", dot != NULL ? (int)(dot - name + 1) : 0, name);
    for (; keys != NULL && keys->name != NULL; keys++) {
        const char *rest = after(keys->name, part);
        if (rest != NULL && *rest == '*')
            return true;
    }
    return false;
}

/* ---- expanding */

static bool is_listed(char *const *list, const char *word, size_t length)
{
    for (; list != NULL && *list != NULL; list++)
        if (strncmp(*list, word, length) == 0 && (*list)[length] == '\0')
            return true;
    return false;
}

static int add_word(char ***list, const char *word, size_t length)
{
    size_t count = 0;
    char **wider;

    if (is_listed(*list, word, length))
        return 0;
    while (*list != NULL && (*list)[count] != NULL)
        count++;
    wider = reallocarray(*list, count + 2, sizeof *wider);
    if (wider == NULL)
        return -1;
    *list = wider;
    wider[count + 1] = NULL;
    wider[count] = strndup(word, length);
    return wider[count] == NULL ? -1 : 0;
}

/* The names given below `prefix` ("profiles"), in the file's order. */
static int names_below(const struct ha_key_group *group, const char *prefix, char ***out)
{
    const config_setting_t *below = NULL;
    char start[300];
    size_t length = (size_t)snprintf(start, sizeof start, "%s%s.", group->prefix, prefix);

    if (group->setting != NULL)
        below = config_setting_lookup((config_setting_t *)(uintptr_t)group->setting, prefix);
    for (int i = 0; below != NULL && config_setting_is_group(below) && i < config_setting_length(below); i++) {
        const char *name = config_setting_name(config_setting_get_elem(below, (unsigned)i));
        if (add_word(out, name, strlen(name)) != 0)
            return -1;
    }
    for (size_t i = 0; i < group->parsed->set_count; i++) {
        const char *key = group->parsed->sets[i].key;
        if (strncmp(key, start, length) == 0 && component(key + length) > 0 &&
            add_word(out, key + length, component(key + length)) != 0)
            return -1;
    }
    if (*out == NULL)
        *out = calloc(1, sizeof **out);
    return *out != NULL ? 0 : -1;
}

static int own_key(struct ha_setting *setting, const struct hactl_key *like, const char *name)
{
    setting->own_key = malloc(sizeof *setting->own_key);
    if (setting->own_key == NULL)
        return -1;
    *setting->own_key = *like;
    setting->own_key->name = strdup(name);
    setting->key = setting->own_key;
    return setting->own_key->name != NULL ? 0 : -1;
}

static struct ha_setting *grow(struct ha_setting **settings, size_t *count)
{
    struct ha_setting *wider = reallocarray(*settings, *count + 1, sizeof *wider);

    if (wider == NULL)
        return NULL;
    *settings = wider;
    memset(&wider[*count], 0, sizeof *wider);
    return &wider[(*count)++];
}

/* All keys of one star: the list of names, and each key for each of them. */
static int expand_star(const struct ha_key_group *group, const struct hactl_key *keys, const char *prefix,
                       struct ha_setting **settings, size_t *count)
{
    static const struct hactl_key list_key = {.type = HACTL_KEY_STRING_LIST, .help = "the names that were given"};
    size_t prefix_length = strlen(prefix), list_at;
    struct ha_setting *list = grow(settings, count);
    char name[300];

    if (list == NULL)
        return -1;
    list_at = *count - 1;
    list->is_set = true;
    snprintf(name, sizeof name, "%s.*", prefix);
    if (own_key(list, &list_key, name) != 0 || names_below(group, prefix, &list->list) != 0)
        return -1;
    for (size_t i = 0; (*settings)[list_at].list[i] != NULL; i++)
        for (const struct hactl_key *key = keys; key->name != NULL; key++) {
            struct ha_setting *setting;
            if (strncmp(key->name, prefix, prefix_length) != 0 || strncmp(key->name + prefix_length, ".*.", 3) != 0)
                continue;
            snprintf(name, sizeof name, "%s.%s.%s", prefix, (*settings)[list_at].list[i],
                     key->name + prefix_length + 3);
            setting = grow(settings, count);
            if (setting == NULL || own_key(setting, key, name) != 0)
                return -1;
        }
    return 0;
}

int ha_keys_expand(const struct ha_key_group *group, const struct hactl_key *keys, struct ha_setting **settings,
                   size_t *count)
{
    char last[200] = "", prefix[200];

    *settings = NULL;
    *count = 0;
    for (const struct hactl_key *key = keys; key != NULL && key->name != NULL; key++) {
        const char *star = strstr(key->name, ".*.");
        struct ha_setting *setting;

        if (star == NULL) {
            setting = grow(settings, count);
            if (setting == NULL)
                return -1;
            setting->key = key;
            continue;
        }
        snprintf(prefix, sizeof prefix, "%.*s", (int)(star - key->name), key->name);
        /* Those of one star stand together in a table. */
        if (strcmp(prefix, last) == 0)
            continue;
        memcpy(last, prefix, sizeof last);
        if (expand_star(group, keys, prefix, settings, count) != 0)
            return -1;
    }
    return 0;
}
