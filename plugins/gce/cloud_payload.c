/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A payload as text for the startup script, which has a shell and no JSON:
 *
 *     payload NAME
 *     digest DIGEST
 *     keep-running                what runs is left alone: only files that it reads again have changed
 *     file MODE PATH BASE64       a file; nothing after PATH: empty
 *     key MODE PATH PURPOSE       the key that the machine made for that purpose goes there
 *     sealed MODE PATH PURPOSE BASE64     a CMS message in PEM, that the machine opens with that key
 *     unit NAME BASE64            a systemd unit, hactl-PAYLOAD-NAME.service
 *     end
 *
 * Paths are absolute, in /var/lib/hactl/payloads/PAYLOAD/ for what is
 * relative. "end" shows that nothing was cut off.
 */
#include "plugins/gce/cloud.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/file.h"
#include "lib/json.h"

#define PAYLOADS  CLOUD_DIRECTORY "/payloads/"
#define DATA      CLOUD_DIRECTORY "/data/"
#define PROGRAMS  CLOUD_DIRECTORY "/bin/"
#define PATH_SIZE 512

struct writer {
    struct cloud *cloud;
    struct hactl_call *call;
    const struct hactl_payload *payload;
    FILE *out;
};

/* ---- programs ------------------------------------------------------------------------------ */

/* "NAME URL SHA256 [MEMBER]" into its parts. */
struct program {
    char name[64], url[512], sha256[65], member[256];
};

static bool parse_program(const char *text, struct program *out)
{
    memset(out, 0, sizeof(*out));
    if (sscanf(text, "%63s %511s %64s %255s", out->name, out->url, out->sha256, out->member) < 3)
        return false;
    return strspn(out->sha256, "0123456789abcdef") == 64 && !strchr(out->name, '/') &&
           (strncmp(out->url, "https://", 8) == 0 || strncmp(out->url, "http://", 7) == 0 ||
            strncmp(out->url, "file:///", 8) == 0) &&
           !strpbrk(out->url, "\"'\\`$");
}

int cloud_programs_check(struct cloud *cloud, struct hactl_call *call)
{
    struct program program;
    const char *text;

    for (size_t i = 0; (text = cloud->host->conf_list(cloud->conf, "programs", i)); i++)
        if (!parse_program(text, &program))
            return cloud->host->fail(
                call, HACTL_E_INVALID,
                "programs: \"%.100s\" is not \"NAME URL SHA256 [MEMBER]\", with an https URL and 64 "
                "small hexadecimal digits",
                text);
    return HACTL_OK;
}

static bool has_program(const struct cloud *cloud, const char *name)
{
    struct program program;
    const char *text;

    for (size_t i = 0; (text = cloud->host->conf_list(cloud->conf, "programs", i)); i++)
        if (parse_program(text, &program) && strcmp(program.name, name) == 0)
            return true;
    return false;
}

char *cloud_boot_text(struct cloud *cloud)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    struct program program;
    const char *entry;

    if (!out)
        return NULL;
    fprintf(out, "device %s\n", CLOUD_DATA_DEVICE);
    if (cloud_reports_by_serial(cloud))
        fprintf(out, "tell serial-port\n");
    for (size_t i = 0; (entry = cloud->host->conf_list(cloud->conf, "programs", i)); i++)
        if (parse_program(entry, &program))
            fprintf(out, "program %s %s %s %s\n", program.name, program.url, program.sha256,
                    program.member[0] ? program.member : "-");
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

/* ---- files ------------------------------------------------------------------------------------ */

/* Absolute, without blanks, quotes and "..", so that no shell can be misled. */
static bool path_is_sound(const char *path)
{
    if (path[0] == '\0' || strstr(path, "//") || strstr(path, "/../") || strncmp(path, "../", 3) == 0 ||
        path[strlen(path) - 1] == '/')
        return false;
    for (; *path; path++)
        if (!isalnum((unsigned char)*path) && !strchr("/._-+@:", *path))
            return false;
    return true;
}

static int file_path(const struct writer *writer, const char *path, char out[PATH_SIZE])
{
    int length;

    if (path[0] == '/')
        length = snprintf(out, PATH_SIZE, "%s", path);
    else
        length = snprintf(out, PATH_SIZE, PAYLOADS "%s/%s", writer->payload->name, path);
    if (length >= PATH_SIZE || !path_is_sound(out))
        return writer->cloud->host->fail(writer->call, HACTL_E_INVALID,
                                         "file \"%.100s\" of payload %s has a path that cannot be delivered", path,
                                         writer->payload->name);
    return HACTL_OK;
}

/* It becomes part of a line, and of a file's name. */
static int check_purpose(const struct writer *writer, const char *purpose)
{
    if (purpose && !strchr(purpose, '/') && path_is_sound(purpose))
        return HACTL_OK;
    return writer->cloud->host->fail(writer->call, HACTL_E_INVALID,
                                     "payload %s names a key for \"%.60s\", which is no purpose of a key",
                                     writer->payload->name, purpose ? purpose : "");
}

static bool is_key(const struct hactl_file *file)
{
    return file->part && strcmp(file->part, "key") == 0;
}

static int write_file(const struct writer *writer, const struct hactl_file *file)
{
    const struct hactl_host *host = writer->cloud->host;
    bool from_replica = strcmp(host->conf_string(writer->cloud->conf, "private_keys"), "replica") == 0;
    uint32_t mode = file->mode ? file->mode & 07777 : 0600;
    char path[PATH_SIZE], *text;
    int rc = file_path(writer, file->path, path);

    if (rc != HACTL_OK)
        return rc;
    if (is_key(file) && !file->content) {
        fprintf(writer->out, "key %04o %s %s\n", mode, path, file->purpose ? file->purpose : "-");
        return check_purpose(writer, file->purpose);
    }
    if (file->sealed_to && (rc = check_purpose(writer, file->sealed_to)) != HACTL_OK)
        return rc;
    if (is_key(file) && from_replica && !file->sealed_to)
        return host->fail(
            writer->call, HACTL_E_INVALID,
            "payload %s holds the private key %s, and everything on a machine can read its metadata: let "
            "replicas make their own keys (keys.mode = \"replica\"), or set private_keys = \"metadata\" here "
            "to send them all the same",
            writer->payload->name, file->path);
    if (!file->content)
        return host->fail(writer->call, HACTL_E_INVALID, "file \"%.100s\" of payload %s came without content",
                          file->path, writer->payload->name);
    text = ha_base64_encode(file->content, file->content_size);
    if (!text)
        return cloud_no_memory(writer->cloud, writer->call);
    if (file->sealed_to)
        fprintf(writer->out, "sealed %04o %s %s %s\n", mode, path, file->sealed_to, text);
    else
        fprintf(writer->out, "file %04o %s %s\n", mode, path, text);
    ha_secret_free(text, strlen(text));
    return HACTL_OK;
}

/* ---- units -------------------------------------------------------------------------------------- */

static void put_variable(const struct writer *writer, FILE *out, const char **at)
{
    static const char directory[] = "${directory}", data[] = "${data}";

    if (strncmp(*at, directory, sizeof(directory) - 1) == 0) {
        fprintf(out, PAYLOADS "%s", writer->payload->name);
        *at += sizeof(directory) - 1;
    } else if (strncmp(*at, data, sizeof(data) - 1) == 0) {
        fprintf(out, DATA "%s", writer->payload->name);
        *at += sizeof(data) - 1;
    } else {
        /* As systemd.service(5) and systemd.syntax(7) quote. */
        if (**at == '"' || **at == '\\')
            fputc('\\', out);
        else if (**at == '%' || **at == '$')
            fputc(**at, out);
        fputc(*(*at)++, out);
    }
}

static int put_command(const struct writer *writer, FILE *out, const struct hactl_unit *unit)
{
    const char *program = unit->argv[0];
    bool pinned = has_program(writer->cloud, program);

    if (program[0] != '/' && !pinned)
        return writer->cloud->host->fail(
            writer->call, HACTL_E_INVALID,
            "unit %s runs \"%.60s\", and `programs` does not say where replicas get it: add \"%.60s URL SHA256\"",
            unit->name, program, program);
    fprintf(out, "ExecStart=\"%s%s\"", program[0] == '/' ? "" : PROGRAMS, program);
    for (const char *const *argument = unit->argv + 1; *argument; argument++) {
        if (strpbrk(*argument, "\r\n"))
            return writer->cloud->host->fail(writer->call, HACTL_E_INVALID, "an argument of unit %s has two lines",
                                             unit->name);
        fputs(" \"", out);
        for (const char *at = *argument; *at;)
            put_variable(writer, out, &at);
        fputc('"', out);
    }
    fputc('\n', out);
    return HACTL_OK;
}

static int unit_text(const struct writer *writer, FILE *out, const struct hactl_unit *unit)
{
    int rc;

    fprintf(out,
            "# Written by hactl's agent.\n[Unit]\nDescription=%s of hactl cluster %s\nAfter=network-online.target\n"
            "StartLimitIntervalSec=0\n\n[Service]\nType=simple\n",
            unit->name, writer->cloud->cluster);
    rc = put_command(writer, out, unit);
    fprintf(out, "WorkingDirectory=" PAYLOADS "%s\nRestart=%s\nRestartSec=1\nTimeoutStopSec=%u\nLimitNOFILE=65536\n",
            writer->payload->name, unit->restart == HACTL_RESTART_ON_FAILURE ? "on-failure" : "no",
            (unit->stop_timeout_ms + 999) / 1000);
    return rc;
}

static int write_unit(const struct writer *writer, const struct hactl_unit *unit)
{
    char *text = NULL, *encoded = NULL;
    size_t size = 0;
    FILE *out;
    int rc = gce_name_check(writer->cloud->gce, writer->call, "unit", unit->name);

    if (rc != HACTL_OK)
        return rc;
    out = open_memstream(&text, &size);
    if (!out)
        return cloud_no_memory(writer->cloud, writer->call);
    rc = unit_text(writer, out, unit);
    if (fclose(out) != 0 && rc == HACTL_OK)
        rc = cloud_no_memory(writer->cloud, writer->call);
    if (rc == HACTL_OK && !(encoded = ha_base64_encode(text, size)))
        rc = cloud_no_memory(writer->cloud, writer->call);
    if (rc == HACTL_OK)
        fprintf(writer->out, "unit %s %s\n", unit->name, encoded);
    free(encoded);
    free(text);
    return rc;
}

/* ---- all of it ------------------------------------------------------------------------------------- */

static int write_all(const struct writer *writer)
{
    const struct hactl_payload *payload = writer->payload;
    int rc = gce_name_check(writer->cloud->gce, writer->call, "payload", payload->name);

    fprintf(writer->out, "payload %s\ndigest %s\n%s", payload->name, payload->digest ? payload->digest : "-",
            payload->keep_running ? "keep-running\n" : "");
    for (size_t i = 0; rc == HACTL_OK && i < payload->file_count; i++)
        rc = write_file(writer, payload->files[i]);
    for (size_t i = 0; rc == HACTL_OK && i < payload->unit_count; i++)
        rc = write_unit(writer, payload->units[i]);
    fputs("end\n", writer->out);
    return rc;
}

/* Both with all their lines. What is sealed has other bytes each time; what is in it is in the digest, which has a line
 * of its own. */
bool cloud_payload_same(const char *one, const char *other)
{
    static const char sealed[] = "sealed ";

    while (*one && *other) {
        size_t length = strcspn(one, "\n"), other_length = strcspn(other, "\n");
        size_t compared = length, other_compared = other_length;

        if (strncmp(one, sealed, sizeof(sealed) - 1) == 0 && strncmp(other, sealed, sizeof(sealed) - 1) == 0) {
            while (compared > 0 && one[compared - 1] != ' ')
                compared--;
            while (other_compared > 0 && other[other_compared - 1] != ' ')
                other_compared--;
        }
        if (compared != other_compared || memcmp(one, other, compared) != 0)
            return false;
        one += length + (one[length] == '\n');
        other += other_length + (other[other_length] == '\n');
    }
    return *one == *other;
}

char *cloud_payload_text(struct cloud *cloud, struct hactl_call *call, const struct hactl_payload *payload)
{
    char *text = NULL;
    size_t size = 0;
    struct writer writer = {.cloud = cloud, .call = call, .payload = payload, .out = open_memstream(&text, &size)};
    int rc;

    if (!writer.out) {
        cloud_no_memory(cloud, call);
        return NULL;
    }
    rc = write_all(&writer);
    if (fclose(writer.out) != 0 && rc == HACTL_OK)
        rc = cloud_no_memory(cloud, call);
    if (rc == HACTL_OK)
        return text;
    ha_secret_free(text, text ? size : 0);
    return NULL;
}
