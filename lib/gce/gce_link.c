/* SPDX-License-Identifier: Apache-2.0 */
/* Links, labels and names. */
#include "lib/gce/gce_internal.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

const char *gce_link_name(const char *link)
{
    const char *slash = strrchr(link, '/');

    return slash ? slash + 1 : link;
}

bool gce_link_part(const char *link, const char *collection, char out[GCE_NAME])
{
    size_t length = strlen(collection);

    for (const char *at = link; at; at = strchr(at, '/')) {
        at += *at == '/';
        if (strncmp(at, collection, length) == 0 && at[length] == '/') {
            size_t size = strcspn(at + length + 1, "/?");
            snprintf(out, GCE_NAME, "%.*s", size < GCE_NAME ? (int)size : 0, at + length + 1);
            return out[0] != '\0';
        }
    }
    out[0] = '\0';
    return false;
}

const char *gce_link_path(const char *link)
{
    const char *projects = strncmp(link, "projects/", 9) == 0 ? link : strstr(link, "/projects/");

    if (!projects)
        return link;
    return projects + (*projects == '/');
}

bool gce_link_same(const char *one, const char *other)
{
    return strcmp(gce_link_path(one), gce_link_path(other)) == 0;
}

void gce_link(const struct gce *gce, char out[GCE_PATH], const char *format, ...)
{
    int used = snprintf(out, GCE_PATH, "https://www.googleapis.com/compute/v1/projects/%s/", gce->project);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(out + used, (size_t)(GCE_PATH - used), format, arguments);
    va_end(arguments);
}

/* ---- whose it is ---------------------------------------------------------------- */

json_t *gce_labels(const char *cluster, const char *replica)
{
    if (replica)
        return json_pack("{s:s, s:s}", GCE_LABEL_CLUSTER, cluster, GCE_LABEL_REPLICA, replica);
    return json_pack("{s:s}", GCE_LABEL_CLUSTER, cluster);
}

void gce_description(char out[128], const char *cluster)
{
    snprintf(out, 128, "hactl cluster %.64s", cluster);
}

bool gce_is_ours(const json_t *object, const char *cluster)
{
    const char *label = ha_json_string(json_object_get(object, "labels"), GCE_LABEL_CLUSTER);
    const char *description = ha_json_string(object, "description");
    char ours[128];
    size_t length;

    if (label)
        return strcmp(label, cluster) == 0;
    gce_description(ours, cluster);
    length = strlen(ours);
    return description && strncmp(description, ours, length) == 0 &&
           (description[length] == '\0' || description[length] == ' ');
}

/* ---- names ------------------------------------------------------------------------ */

/* FNV-1a, to tell shortened names apart. */
static uint32_t hash(const char *text)
{
    uint32_t value = 2166136261u;

    for (; *text; text++)
        value = (value ^ (unsigned char)*text) * 16777619u;
    return value;
}

void gce_name(char out[GCE_NAME], const char *name, const char *suffix)
{
    size_t room = GCE_NAME - 1 - strlen(suffix);

    if (strlen(name) <= room)
        snprintf(out, GCE_NAME, "%s%s", name, suffix);
    else
        snprintf(out, GCE_NAME, "%.*s-%08x%s", (int)room - 9, name, hash(name), suffix);
}

int gce_name_check(const struct gce *gce, struct hactl_call *call, const char *kind, const char *name)
{
    size_t length = strlen(name);
    bool good = length > 0 && length < GCE_NAME && islower((unsigned char)name[0]) && name[length - 1] != '-';

    for (size_t i = 0; good && i < length; i++)
        good = islower((unsigned char)name[i]) || isdigit((unsigned char)name[i]) || name[i] == '-';
    if (good)
        return HACTL_OK;
    return gce->host->fail(call, HACTL_E_INVALID,
                           "%s name \"%.80s\" cannot be used on Compute Engine: small letters, digits and '-', at most "
                           "63, the first a letter, the last no '-'",
                           kind, name);
}
