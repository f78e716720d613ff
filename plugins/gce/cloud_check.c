/* SPDX-License-Identifier: Apache-2.0 */
/* Before anything is made: credentials, project, region, and that what the
 * configuration names is there, all asked side by side. */
#include "plugins/gce/cloud.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

enum { PROJECT, REGION, NETWORK, IMAGE, MACHINE_TYPE, QUESTIONS };

/* Of an image or family: "debian-cloud/debian-12" as gcloud's users know it is
 * no path, so a path is what is asked for. */
static void image_path(const struct cloud *cloud, char out[GCE_PATH])
{
    const char *set = cloud_setting(cloud, "image"), *image;

    image = gce_link_path(set ? set : "projects/debian-cloud/global/images/family/debian-12");
    snprintf(out, GCE_PATH, "%s%s", strncmp(image, "projects/", 9) == 0 ? "/" : "", image);
}

static int prepare(struct cloud *cloud, struct hactl_call *call, struct gce_request questions[QUESTIONS])
{
    const struct gce_zone *zones;
    const char *region, *type = cloud_setting(cloud, "machine_type");
    char image[GCE_PATH];
    size_t count;
    int rc = gce_zones_refresh(cloud->gce, call);

    if (rc == HACTL_OK)
        rc = gce_zones(cloud->gce, call, &zones, &count);
    if (rc == HACTL_OK)
        rc = gce_region(cloud->gce, call, &region);
    if (rc == HACTL_OK)
        rc = cloud_network_prepare(cloud, call, region, &questions[NETWORK]);
    if (rc != HACTL_OK)
        return rc;
    image_path(cloud, image);
    gce_prepare(&questions[PROJECT], "GET", NULL, ".");
    gce_prepare(&questions[REGION], "GET", NULL, "regions/%s", region);
    gce_prepare(&questions[IMAGE], "GET", NULL, "%s", image);
    gce_prepare(&questions[MACHINE_TYPE], "GET", NULL, "zones/%s/machineTypes/%s", zones[0].name,
                type ? gce_link_name(type) : "e2-standard-2");
    return HACTL_OK;
}

/* What three replicas take of a region's quotas at least. */
enum { REPLICAS = 3, DISK_GB = 20 };

/* Gigabytes of disks that count against that quota: Google has one for magnetic disks and one for all on flash. */
static double disks_of(const struct cloud *cloud, const char *metric)
{
    static const struct {
        const char *size, *type, *standard;
    } disks[] = {{"boot_disk_gb", "boot_disk_type", "pd-balanced"}, {"data_disk_gb", "data_disk_type", "pd-ssd"}};
    double sum = 0;

    for (size_t i = 0; i < sizeof(disks) / sizeof(disks[0]); i++) {
        const char *set = cloud_setting(cloud, disks[i].type);
        const char *type = gce_link_name(set ? set : disks[i].standard);
        int64_t gigabytes = cloud->host->conf_integer(cloud->conf, disks[i].size);

        if (strncmp(type, "pd-", 3) == 0 &&
            strcmp(metric, strcmp(type, "pd-standard") == 0 ? "DISKS_TOTAL_GB" : "SSD_TOTAL_GB") == 0)
            sum += REPLICAS * (double)(gigabytes > 0 ? gigabytes : DISK_GB);
    }
    return sum;
}

static double needed_of(const struct cloud *cloud, const char *metric, const json_t *machine_type)
{
    int64_t cpus = ha_json_i64(machine_type, "guestCpus");

    if (strcmp(metric, "CPUS") == 0)
        return REPLICAS * (double)(cpus > 0 ? cpus : 2);
    if (strcmp(metric, "INSTANCES") == 0)
        return REPLICAS;
    if (strcmp(metric, "STATIC_ADDRESSES") == 0)
        return 1;
    /* One replica alone has the public address instead of its own. */
    if (strcmp(metric, "IN_USE_ADDRESSES") == 0)
        return cloud_wants_ephemeral(cloud) ? REPLICAS : 1;
    return disks_of(cloud, metric);
}

static void judge_quotas(struct cloud *cloud, struct hactl_call *call, const json_t *region, const json_t *machine_type)
{
    size_t index;
    json_t *quota;

    json_array_foreach(json_object_get(region, "quotas"), index, quota)
    {
        const char *metric = cloud_text(quota, "metric");
        double needed = needed_of(cloud, metric, machine_type);
        double left =
            json_number_value(json_object_get(quota, "limit")) - json_number_value(json_object_get(quota, "usage"));

        if (needed > 0 && left < needed)
            cloud->host->log(call, HACTL_LOG_WARNING, "quota %s of region %s has %g left; three replicas take about %g",
                             metric, cloud_text(region, "name"), left, needed);
    }
}

static int judge(struct cloud *cloud, struct hactl_call *call, const struct gce_request questions[QUESTIONS])
{
    const char *names[QUESTIONS] = {"project", "region", "`network`", "`image`", "`machine_type`"};
    int rc;

    if (cloud_setting(cloud, "subnetwork"))
        names[NETWORK] = "`subnetwork`";
    for (int i = 0; i < QUESTIONS; i++) {
        if (questions[i].code == HACTL_E_NOT_FOUND)
            return cloud->host->fail(call, HACTL_E_INVALID, "%s: %s", names[i], questions[i].error);
        if (questions[i].code != HACTL_OK)
            return gce_fail(cloud->gce, call, &questions[i], "%s", names[i]);
    }
    rc = cloud_network_judge(cloud, call, cloud_text(questions[REGION].json, "name"), questions[NETWORK].json);
    if (rc != HACTL_OK)
        return rc;
    judge_quotas(cloud, call, questions[REGION].json, questions[MACHINE_TYPE].json);
    if (cloud->reach == CLOUD_REACH_INTERNAL && !cloud->host->conf_list(cloud->conf, "admin_ranges", 0))
        cloud->host->log(call, HACTL_LOG_WARNING,
                         "admin_ranges is not set: no firewall rule lets hactl reach the replicas' etcd, unless the "
                         "network has one of its own");
    return HACTL_OK;
}

int cloud_check(struct cloud *cloud, struct hactl_call *call)
{
    struct gce_request questions[QUESTIONS];
    int rc = gce_authenticate(cloud->gce, call);

    if (rc == HACTL_OK)
        rc = gce_project(cloud->gce, call, NULL);
    if (rc == HACTL_OK)
        rc = cloud_network_check(cloud, call);
    if (rc == HACTL_OK)
        rc = prepare(cloud, call, questions);
    if (rc != HACTL_OK)
        return rc;
    rc = gce_run(cloud->gce, call, questions, QUESTIONS);
    if (rc == HACTL_OK)
        rc = judge(cloud, call, questions);
    for (int i = 0; i < QUESTIONS; i++)
        gce_request_clear(&questions[i]);
    return rc;
}
