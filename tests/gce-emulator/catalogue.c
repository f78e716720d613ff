/* SPDX-License-Identifier: Apache-2.0 */
#include "catalogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "faults.h"
#include "lists.h"
#include "quotas.h"
#include "store.h"

static const struct {
    const char *name, *zones;
    int network; /* 10.N.0.0/20 of the automatic network */
} regions[] = {
    {"us-central1", "a b c f", 128}, {"us-east1", "b c d", 142},     {"us-west1", "a b c", 138},
    {"europe-west1", "b c d", 132},  {"europe-west4", "a b c", 164}, {"asia-east1", "a b c", 140},
};

static const struct {
    const char *name;
    int cpus, memory_mb;
    bool shared;
} machine_types[] = {
    {"e2-micro", 2, 1024, true},        {"e2-small", 2, 2048, true},        {"e2-medium", 2, 4096, true},
    {"e2-standard-2", 2, 8192, false},  {"e2-standard-4", 4, 16384, false}, {"e2-standard-8", 8, 32768, false},
    {"n1-standard-1", 1, 3840, false},  {"n1-standard-2", 2, 7680, false},  {"n1-standard-4", 4, 15360, false},
    {"n1-standard-8", 8, 30720, false}, {"n2-standard-2", 2, 8192, false},  {"n2-standard-4", 4, 16384, false},
    {"n2-standard-8", 8, 32768, false}, {"n2-highcpu-2", 2, 2048, false},
};

static const struct {
    const char *project, *family, *name;
    int disk_gb;
} images[] = {
    {"debian-cloud", "debian-11", "debian-11-bullseye-v20240611", 10},
    {"debian-cloud", "debian-12", "debian-12-bookworm-v20250610", 10},
    {"ubuntu-os-cloud", "ubuntu-2204-lts", "ubuntu-2204-jammy-v20250607", 10},
    {"ubuntu-os-cloud", "ubuntu-2404-lts-amd64", "ubuntu-2404-noble-amd64-v20250606", 10},
    {"cos-cloud", "cos-stable", "cos-stable-121-18867-90-38", 10},
};

static json_t *present_zone(const struct em_resource *resource);
static json_t *present_region(const struct em_resource *resource);

const struct em_type em_project_type = {.collection = "projects", .kind = "compute#project", .parameter = "project"};
const struct em_type em_zone_type = {
    .collection = "zones", .kind = "compute#zone", .parameter = "zone", .present = present_zone};
const struct em_type em_region_type = {
    .collection = "regions", .kind = "compute#region", .parameter = "region", .present = present_region};
const struct em_type em_network_type = {.collection = "networks", .kind = "compute#network", .parameter = "network"};
const struct em_type em_subnetwork_type = {
    .collection = "subnetworks", .kind = "compute#subnetwork", .parameter = "subnetwork", .scopes = "regions"};
const struct em_type em_machine_type_type = {
    .collection = "machineTypes", .kind = "compute#machineType", .parameter = "machineType", .scopes = "zones"};
const struct em_type em_image_type = {.collection = "images", .kind = "compute#image", .parameter = "image"};

bool em_catalogue_is_ours(const struct em_type *type)
{
    return type == &em_zone_type || type == &em_region_type || type == &em_network_type ||
           type == &em_subnetwork_type || type == &em_machine_type_type || type == &em_image_type ||
           type == &em_project_type;
}

static json_t *present_zone(const struct em_resource *resource)
{
    json_t *json = json_deep_copy(resource->json);
    char *scope = em_format("zones/%s", resource->name);

    em_set(json, "status", em_faults_zone_down(scope) ? "DOWN" : "UP");
    free(scope);
    return json;
}

static json_t *present_region(const struct em_resource *resource)
{
    json_t *json = json_deep_copy(resource->json);

    json_object_set_new(json, "quotas", em_quotas_list(resource->collection->project, resource->name));
    return json;
}

static void add_zone(const char *project, const char *region, const char *letter)
{
    char *name = em_format("%s-%s", region, letter), *scope = em_format("zones/%s", name);
    struct em_resource *resource =
        em_store_add(project, "", &em_zone_type, name, json_pack("{s:s}", "description", name));
    char *path = em_format("projects/%s/regions/%s", project, region);

    em_set_link(resource->json, "region", path);
    free(path);
    for (size_t i = 0; i < sizeof(machine_types) / sizeof(machine_types[0]); i++) {
        resource = em_store_add(project, scope, &em_machine_type_type, machine_types[i].name,
                                json_pack("{s:i,s:i,s:b,s:i,s:s,s:i}", "guestCpus", machine_types[i].cpus, "memoryMb",
                                          machine_types[i].memory_mb, "isSharedCpu", machine_types[i].shared,
                                          "maximumPersistentDisks", 128, "maximumPersistentDisksSizeGb", "263168",
                                          "imageSpaceGb", 0));
        em_set(resource->json, "zone", name); /* here the real one gives the bare name */
    }
    free(scope);
    free(name);
}

static void add_region(const char *project, size_t i)
{
    struct em_resource *resource = em_store_add(project, "", &em_region_type, regions[i].name,
                                                json_pack("{s:s,s:s}", "description", regions[i].name, "status", "UP"));

    for (const char *zone = regions[i].zones; *zone != '\0'; zone++) {
        char letter[2] = {*zone, '\0'}, *link;

        if (*zone == ' ') {
            continue;
        }
        add_zone(project, regions[i].name, letter);
        link = em_format(EM_LINK_PREFIX "projects/%s/zones/%s-%s", project, regions[i].name, letter);
        json_array_append_new(em_array(resource->json, "zones"), json_string(link));
        free(link);
    }
}

static void add_subnetwork(struct em_resource *network, const char *region, const char *range, const char *gateway)
{
    const char *project = network->collection->project;
    char *scope = em_format("regions/%s", region);
    struct em_resource *subnetwork =
        em_store_add(project, scope, &em_subnetwork_type, network->name,
                     json_pack("{s:s,s:s,s:b,s:s,s:s}", "ipCidrRange", range, "gatewayAddress", gateway,
                               "privateIpGoogleAccess", 0, "purpose", "PRIVATE", "stackType", "IPV4_ONLY"));
    char *link = em_link(subnetwork->path);

    em_set_link(subnetwork->json, "network", network->path);
    em_set_fingerprint(subnetwork->json, "fingerprint");
    json_array_append_new(em_array(network->json, "subnetworks"), json_string(link));
    free(link);
    free(scope);
}

void em_catalogue_network(const char *project, const char *name, const char *range)
{
    struct em_resource *network = em_store_add(
        project, "global", &em_network_type, name,
        json_pack("{s:b,s:i,s:{s:s},s:s}", "autoCreateSubnetworks", range == NULL, "mtu", 1460, "routingConfig",
                  "routingMode", "REGIONAL", "networkFirewallPolicyEnforcementOrder", "AFTER_CLASSIC_FIREWALL"));

    for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
        char cidr[32], gateway[32];

        /* "172.20" gives 172.20.0.0/20, 172.20.16.0/20 and so on; the automatic network has Google's own. */
        if (range == NULL) {
            snprintf(cidr, sizeof(cidr), "10.%d.0.0/20", regions[i].network);
            snprintf(gateway, sizeof(gateway), "10.%d.0.1", regions[i].network);
        } else {
            snprintf(cidr, sizeof(cidr), "%s.%zu.0/20", range, i * 16);
            snprintf(gateway, sizeof(gateway), "%s.%zu.1", range, i * 16);
        }
        add_subnetwork(network, regions[i].name, cidr, gateway);
    }
}

static void add_images(const char *project)
{
    for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
        struct em_resource *image;

        if (strcmp(images[i].project, project) != 0) {
            continue;
        }
        image = em_store_add(project, "global", &em_image_type, images[i].name,
                             json_pack("{s:s,s:s,s:s,s:s}", "family", images[i].family, "status", "READY", "sourceType",
                                       "RAW", "architecture", "X86_64"));
        em_set_u64(image->json, "diskSizeGb", (uint64_t)images[i].disk_gb);
        em_set_u64(image->json, "archiveSizeBytes", 1200000000);
        em_set_fingerprint(image->json, "labelFingerprint");
    }
}

static bool is_image_project(const char *project)
{
    for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
        if (strcmp(images[i].project, project) == 0) {
            return true;
        }
    }
    return false;
}

bool em_catalogue_project(const char *project)
{
    if (em_store_collection(project, "", "regions") != NULL ||
        em_store_collection(project, "global", "images") != NULL) {
        return true;
    }
    if (is_image_project(project)) {
        add_images(project);
        return true;
    }
    if (em_options.project != NULL && strcmp(em_options.project, project) != 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
        add_region(project, i);
    }
    em_catalogue_network(project, "default", NULL);
    return true;
}

/* The newest of a family is the last by name. */
static struct em_resource *newest(const char *project, const char *family)
{
    struct em_collection *collection;
    struct em_resource *image, *found = NULL;

    if (!em_catalogue_project(project)) {
        return NULL;
    }
    collection = em_store_collection(project, "global", "images");
    EM_FOR_EACH(image, collection)
    {
        if (strcmp(em_text(image->json, "family"), family) == 0) {
            found = image;
        }
    }
    return found;
}

/* "projects/P/global/images/family/F", ".../images/NAME" or "projects/P/zones/Z/imageFamilyViews/F". */
struct em_resource *em_catalogue_image(const char *project, const char *text)
{
    char owner[128], *rest, *path;
    struct em_resource *image;

    if (strncmp(text, "http", 4) == 0) {
        text = strstr(text, "/projects/");
        text = text == NULL ? "" : text + 1;
    }
    path = strncmp(text, "projects/", 9) == 0 ? em_strdup(text) : em_format("projects/%s/%s", project, text);
    rest = strchr(path + 9, '/');
    if (rest == NULL) {
        free(path);
        return NULL;
    }
    snprintf(owner, sizeof(owner), "%.*s", (int)(rest - path - 9), path + 9);
    if (!em_catalogue_project(owner)) {
        image = NULL;
    } else if (strstr(rest, "/images/family/") != NULL || strstr(rest, "/imageFamilyViews/") != NULL) {
        image = newest(owner, strrchr(rest, '/') + 1);
    } else {
        image = em_store_find(path);
    }
    if (image != NULL && image->collection->type != &em_image_type) {
        image = NULL;
    }
    free(path);
    return image;
}

static struct em_answer image_of_family(struct em_request *request)
{
    const char *family = em_text(request->variables, "family");
    struct em_resource *image = newest(request->project, family);

    if (image == NULL) {
        char *path = em_format("projects/%s/global/images/family/%s", request->project, family);
        struct em_answer answer = em_error_not_found(path);

        free(path);
        return answer;
    }
    return em_ok(em_present(image));
}

static struct em_answer image_family_view(struct em_request *request)
{
    struct em_answer answer = image_of_family(request);

    if (answer.status == 200) {
        answer.body = json_pack("{s:o}", "image", answer.body);
    }
    return answer;
}

static struct em_answer get_project(struct em_request *request)
{
    json_t *json =
        json_pack("{s:s,s:s,s:s,s:s,s:s}", "kind", "compute#project", "name", request->project, "defaultNetworkTier",
                  "PREMIUM", "xpnProjectStatus", "UNSPECIFIED_XPN_PROJECT_STATUS", "vmDnsSetting", "ZONAL_ONLY");
    char *path = em_format("projects/%s", request->project);

    em_set_u64(json, "id", 123456789012ULL);
    em_set_timestamp(json, "creationTimestamp");
    em_set_link(json, "selfLink", path);
    em_set_format(json, "defaultServiceAccount", "123456789012-compute@developer.gserviceaccount.com");
    json_object_set_new(json, "quotas", em_quotas_list(request->project, ""));
    json_object_set_new(json, "commonInstanceMetadata", json_pack("{s:s}", "kind", "compute#metadata"));
    em_set_fingerprint(json_object_get(json, "commonInstanceMetadata"), "fingerprint");
    free(path);
    return em_ok(json);
}

#define PROJECT "projects/{project}"

const struct em_method em_catalogue_methods[] = {
    {"projects.get", "GET", PROJECT, EM_READ, &em_project_type, get_project},
    {"zones.get", "GET", PROJECT "/zones/{zone}", EM_READ, &em_zone_type, em_get},
    {"zones.list", "GET", PROJECT "/zones", EM_LIST, &em_zone_type, em_list},
    {"regions.get", "GET", PROJECT "/regions/{region}", EM_READ, &em_region_type, em_get},
    {"regions.list", "GET", PROJECT "/regions", EM_LIST, &em_region_type, em_list},
    {"images.get", "GET", PROJECT "/global/images/{image}", EM_READ, &em_image_type, em_get},
    {"images.getFromFamily", "GET", PROJECT "/global/images/family/{family}", EM_READ, &em_image_type, image_of_family},
    {"images.list", "GET", PROJECT "/global/images", EM_LIST, &em_image_type, em_list},
    {"imageFamilyViews.get", "GET", PROJECT "/zones/{zone}/imageFamilyViews/{family}", EM_READ, &em_image_type,
     image_family_view},
    {"networks.get", "GET", PROJECT "/global/networks/{network}", EM_READ, &em_network_type, em_get},
    {"networks.list", "GET", PROJECT "/global/networks", EM_LIST, &em_network_type, em_list},
    {"subnetworks.get", "GET", PROJECT "/regions/{region}/subnetworks/{subnetwork}", EM_READ, &em_subnetwork_type,
     em_get},
    {"subnetworks.list", "GET", PROJECT "/regions/{region}/subnetworks", EM_LIST, &em_subnetwork_type, em_list},
    {"machineTypes.get", "GET", PROJECT "/zones/{zone}/machineTypes/{machineType}", EM_READ, &em_machine_type_type,
     em_get},
    {"machineTypes.list", "GET", PROJECT "/zones/{zone}/machineTypes", EM_LIST, &em_machine_type_type, em_list},
    {0},
};
