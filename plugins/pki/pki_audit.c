/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit.log: a line of JSON for every certificate that was made, for every
 * phase of a rotation and for every revocation. Lines are only ever appended,
 * in one write a batch, and are durable before what they tell of has its name:
 * there is no certificate without its line.
 */
#include "plugins/pki/pki.h"

#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/x509v3.h>

void pki_audit_end(struct pki_audit *audit)
{
    if (audit->stream != NULL)
        fclose(audit->stream);
    free(audit->text);
    *audit = (struct pki_audit){0};
}

/* ---- values ---- */

static void put_text(FILE *stream, const char *key, const char *text)
{
    if (text == NULL)
        return;
    fprintf(stream, ",\"%s\":\"", key);
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++)
        if (*c == '"' || *c == '\\')
            fprintf(stream, "\\%c", *c);
        else if (*c < 0x20 || *c == 0x7f)
            fprintf(stream, "\\u%04x", *c);
        else
            fputc(*c, stream);
    fputc('"', stream);
}

static void put_hex(FILE *stream, const char *key, const unsigned char *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";

    fprintf(stream, ",\"%s\":\"", key);
    for (size_t i = 0; i < count; i++) {
        fputc(digits[bytes[i] >> 4], stream);
        fputc(digits[bytes[i] & 15], stream);
    }
    fputc('"', stream);
}

static void put_time(FILE *stream, const char *key, int64_t time_s)
{
    time_t when = (time_t)time_s;
    struct tm parts;
    char text[32] = "";

    if (gmtime_r(&when, &parts) != NULL)
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    put_text(stream, key, text);
}

/* Who ran hactl, on which machine. */
static void put_actor(FILE *stream)
{
    char host[128] = "", actor[320], buffer[1024];
    struct passwd entry, *found = NULL;

    gethostname(host, sizeof host - 1);
    if (getpwuid_r(getuid(), &entry, buffer, sizeof buffer, &found) == 0 && found != NULL)
        snprintf(actor, sizeof actor, "%.128s@%s", found->pw_name, host);
    else
        snprintf(actor, sizeof actor, "%u@%s", (unsigned)getuid(), host);
    put_text(stream, "actor", actor);
}

static void put_certificate(const struct pki_audit *audit, X509 *certificate)
{
    FILE *stream = audit->stream;
    char *subject = pki_subject(certificate), *names = NULL;
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
    ASN1_OCTET_STRING *issuer = pki_key_id(certificate, true);
    struct pki_names have = {0};
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    bool strange;

    if (pki_certificate_names(certificate, &have, &strange) == 0 && have.count > 0)
        names = pki_names_text(&have);
    put_hex(stream, "serial", ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial));
    put_text(stream, "subject", subject);
    put_text(stream, "names", names);
    if (issuer == NULL)
        issuer = pki_key_id(certificate, false);
    if (issuer != NULL)
        put_hex(stream, "issuer_key", ASN1_STRING_get0_data(issuer), (size_t)ASN1_STRING_length(issuer));
    put_time(stream, "not_after", pki_time_s(X509_get0_notAfter(certificate)));
    if (X509_digest(certificate, audit->crypto->sha256, digest, &size) == 1)
        put_hex(stream, "sha256", digest, size);
    ASN1_OCTET_STRING_free(issuer);
    pki_names_free(&have);
    free(names);
    free(subject);
}

void pki_audit_begin(struct pki_audit *audit, const struct pki *pki, struct hactl_call *call)
{
    FILE *head;

    *audit = (struct pki_audit){.crypto = pki_crypto(pki)};
    audit->stream = open_memstream(&audit->text, &audit->size);
    if (audit->stream != NULL)
        __fsetlocking(audit->stream, FSETLOCKING_BYCALLER); /* one thread writes to it, a character at a time */
    head = fmemopen(audit->head, sizeof audit->head, "w");
    if (head == NULL)
        return;
    put_time(head, "time", (int64_t)time(NULL));
    put_actor(head);
    put_text(head, "intent", pki->host->intent(call));
    fclose(head);
}

static FILE *begin_line(struct pki_audit *audit, const char *action, const char *purpose, const char *replica)
{
    if (audit->stream == NULL)
        return NULL;
    fprintf(audit->stream, "{\"action\":\"%s\"%s", action, audit->head);
    put_text(audit->stream, "purpose", purpose);
    put_text(audit->stream, "replica", replica);
    return audit->stream;
}

void pki_audit_add(struct pki_audit *audit, const char *action, const char *purpose, const char *replica,
                   X509 *certificate)
{
    FILE *stream = begin_line(audit, action, purpose, replica);

    if (stream == NULL)
        return;
    if (certificate != NULL)
        put_certificate(audit, certificate);
    fputs("}\n", stream);
}

/* The serial number is the first thing after the version. */
static void put_serial(FILE *stream, const unsigned char *der, size_t size)
{
    const unsigned char *at = der;
    long length;
    int tag, class;

    for (int depth = 0; depth < 2; depth++) /* the certificate, and what is signed of it */
        if (ASN1_get_object(&at, &length, &tag, &class, (long)(size - (size_t)(at - der))) & 0x80)
            return;
    if (ASN1_get_object(&at, &length, &tag, &class, (long)(size - (size_t)(at - der))) & 0x80)
        return;
    at += length;
    if (ASN1_get_object(&at, &length, &tag, &class, (long)(size - (size_t)(at - der))) & 0x80 || tag != V_ASN1_INTEGER)
        return;
    put_hex(stream, "serial", at, (size_t)length);
}

void pki_audit_issued(struct pki_audit *audit, const char *purpose, const char *replica,
                      const struct pki_issuance *issuance, const ASN1_OCTET_STRING *issuer_key_id,
                      const unsigned char *der, size_t size)
{
    FILE *stream = begin_line(audit, "issue", purpose, replica);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    char subject[256], *names = NULL;

    if (stream == NULL)
        return;
    put_serial(stream, der, size);
    snprintf(subject, sizeof subject, "CN=%s%s%s", issuance->common_name, issuance->organization != NULL ? ",O=" : "",
             issuance->organization != NULL ? issuance->organization : "");
    put_text(stream, "subject", subject);
    if (issuance->names != NULL && issuance->names->count > 0)
        names = pki_names_text(issuance->names);
    put_text(stream, "names", names);
    if (issuer_key_id != NULL)
        put_hex(stream, "issuer_key", ASN1_STRING_get0_data(issuer_key_id), (size_t)ASN1_STRING_length(issuer_key_id));
    put_time(stream, "not_after", issuance->not_after_s);
    if (EVP_Digest(der, size, digest, &length, audit->crypto->sha256, NULL) == 1)
        put_hex(stream, "sha256", digest, length);
    fputs("}\n", stream);
    free(names);
}

void pki_audit_phase(struct pki_audit *audit, const char *purpose, const char *from, const char *to)
{
    FILE *stream = begin_line(audit, "rotate", purpose, NULL);

    if (stream == NULL)
        return;
    put_text(stream, "from", from);
    put_text(stream, "to", to);
    fputs("}\n", stream);
}

int pki_audit_write(struct pki_store *store, struct pki_audit *audit)
{
    int error;

    if (audit->stream == NULL || fflush(audit->stream) != 0)
        return -ENOMEM;
    if (audit->size == audit->written)
        return 0;
    error = pki_store_append(store, PKI_AUDIT_FILE, audit->text + audit->written, audit->size - audit->written);
    if (error == 0)
        audit->written = audit->size;
    return error;
}

int pki_audit_jobs(struct pki_batch *batch, const struct pki_jobs *jobs)
{
    struct pki_audit audit;
    int error = 0;

    if (jobs->count == 0)
        return HACTL_OK;
    pki_audit_begin(&audit, batch->pki, batch->call);
    for (size_t i = 0; i < jobs->count; i++) {
        const struct pki_job *job = &jobs->list[i];
        const struct pki_item *item = &batch->items[job->item];

        struct pki_issuer issuer = {.key_id = NULL};
        ASN1_OCTET_STRING *key_id = NULL;

        pki_job_issuer(job, &issuer, &key_id);
        if (job->der != NULL)
            pki_audit_issued(&audit, item->purpose, item->replica, &job->issuance, issuer.key_id, job->der,
                             job->der_size);
        else
            pki_audit_add(&audit, "issue", item->purpose, item->replica, NULL);
        ASN1_OCTET_STRING_free(key_id);
    }
    error = pki_audit_write(batch->store, &audit);
    pki_audit_end(&audit);
    return error == 0 ? HACTL_OK : pki_store_fail(batch->pki, batch->call, error, PKI_AUDIT_FILE, "");
}
