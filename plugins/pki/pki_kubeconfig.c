/* SPDX-License-Identifier: Apache-2.0 */
/* Kubeconfigs, in the form in which kubeadm and kubectl write them. What is
 * read is that form alone, line by line: another is found to be not as wanted
 * and written anew, so that nobody slips in a line that kubectl obeys. */
#include "plugins/pki/pki.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#define AUTHORITY   "certificate-authority-data"
#define CERTIFICATE "client-certificate-data"
#define KEY         "client-key-data"

/* One line of base64, as YAML wants it; caller frees with encoded_free. */
static char *encode(const char *text)
{
    size_t length = strlen(text), size = 4 * ((length + 2) / 3) + 1;
    char *out = pki_secret_new(size);

    if (out != NULL)
        EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)length);
    return out;
}

static void encoded_free(char *text)
{
    pki_secret_free(text, text != NULL ? strlen(text) : 0);
}

int pki_kubeconfig_write(const char *cluster, const char *user, const char *server, const char *authority,
                         const char *certificate, const char *key, char **text, size_t *size)
{
    char *encoded[] = {encode(authority), encode(certificate), encode(key)};
    size_t room = 1024 + strlen(server) + 4 * strlen(cluster) + 4 * strlen(user);
    int length = -1;

    for (size_t i = 0; i < 3; i++)
        room += encoded[i] != NULL ? strlen(encoded[i]) : 0;
    *text = NULL;
    /* Not asprintf(3): it may leave pieces of the key behind. */
    if (encoded[0] != NULL && encoded[1] != NULL && encoded[2] != NULL && (*text = pki_secret_new(room)) != NULL)
        length = snprintf(*text, room,
                          "apiVersion: v1\n"
                          "clusters:\n"
                          "- cluster:\n"
                          "    " AUTHORITY ": %s\n"
                          "    server: %s\n"
                          "  name: %s\n"
                          "contexts:\n"
                          "- context:\n"
                          "    cluster: %s\n"
                          "    user: \"%s\"\n"
                          "  name: \"%s@%s\"\n"
                          "current-context: \"%s@%s\"\n"
                          "kind: Config\n"
                          "preferences: {}\n"
                          "users:\n"
                          "- name: \"%s\"\n"
                          "  user:\n"
                          "    " CERTIFICATE ": %s\n"
                          "    " KEY ": %s\n",
                          encoded[0], server, cluster, cluster, user, user, cluster, user, cluster, user, encoded[1],
                          encoded[2]);
    for (size_t i = 0; i < 3; i++)
        encoded_free(encoded[i]);
    *size = length > 0 ? (size_t)length : 0;
    return length > 0 ? 0 : -1;
}

/* NULL when it is not base64. */
static char *decode(const char *text, size_t length, size_t *size)
{
    unsigned char *out;
    int decoded;

    if (length == 0 || length % 4 != 0 || length > PKI_FILE_LIMIT)
        return NULL;
    out = (unsigned char *)pki_secret_new(length / 4 * 3 + 1);
    if (out == NULL)
        return NULL;
    decoded = EVP_DecodeBlock(out, (const unsigned char *)text, (int)length);
    if (decoded < 0) {
        pki_secret_free((char *)out, length / 4 * 3);
        return NULL;
    }
    for (size_t i = length; i > 0 && text[i - 1] == '=' && decoded > 0; i--)
        decoded--;
    out[decoded] = '\0';
    /* A NUL in it is no PEM. */
    if (strlen((char *)out) != (size_t)decoded) {
        pki_secret_free((char *)out, (size_t)decoded);
        return NULL;
    }
    *size = (size_t)decoded;
    return (char *)out;
}

/* The value of the only line that says `name`; a second one makes it unreadable. */
static const char *value_of(const char *text, size_t size, const char *name, size_t *length)
{
    const char *found = NULL, *end = text + size;
    size_t name_length = strlen(name);

    for (const char *line = text; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t rest;
        if (stop == NULL)
            stop = end;
        while (line < stop && (*line == ' ' || *line == '-'))
            line++;
        rest = (size_t)(stop - line);
        if (rest > name_length + 1 && memcmp(line, name, name_length) == 0 && line[name_length] == ':') {
            if (found != NULL)
                return NULL;
            found = line + name_length + 1;
            while (found < stop && *found == ' ')
                found++;
            *length = (size_t)(stop - found);
        }
        line = stop + 1;
    }
    return found;
}

static char *data_of(const char *text, size_t size, const char *name, size_t *data_size)
{
    size_t length = 0;
    const char *value = value_of(text, size, name, &length);

    return value != NULL ? decode(value, length, data_size) : NULL;
}

/* All that is not a key or a certificate, in ordinary memory: of that for keys there is not enough for many of them. */
static void cut_frame(const char *text, size_t size, struct pki_kubeconfig *out)
{
    const struct {
        const char *name, *part;
    } cut[] = {{AUTHORITY, out->authority}, {CERTIFICATE, out->certificate}, {KEY, out->key}};
    char *left = pki_secret_new(size + 1);
    size_t used = size;

    if (left == NULL)
        return;
    memcpy(left, text, size);
    for (size_t i = 0; i < sizeof cut / sizeof cut[0]; i++) {
        size_t length = 0;
        char *value = cut[i].part != NULL ? (char *)value_of(left, used, cut[i].name, &length) : NULL;
        if (value == NULL)
            continue;
        used -= length;
        memmove(value, value + length, used - (size_t)(value - left));
    }
    out->frame = OPENSSL_malloc(used + 1);
    if (out->frame != NULL) {
        memcpy(out->frame, left, used);
        out->frame[used] = '\0';
        out->frame_size = used;
    }
    pki_secret_free(left, size);
}

void pki_kubeconfig_read(const char *text, size_t size, struct pki_kubeconfig *out)
{
    size_t length = 0;
    const char *server = value_of(text, size, "server", &length);

    memset(out, 0, sizeof *out);
    out->server = server != NULL ? strndup(server, length) : NULL;
    out->authority = data_of(text, size, AUTHORITY, &out->authority_size);
    out->certificate = data_of(text, size, CERTIFICATE, &out->certificate_size);
    out->key = data_of(text, size, KEY, &out->key_size);
    cut_frame(text, size, out);
}

void pki_kubeconfig_free(struct pki_kubeconfig *kubeconfig)
{
    free(kubeconfig->server);
    pki_secret_free(kubeconfig->authority, kubeconfig->authority_size);
    pki_secret_free(kubeconfig->certificate, kubeconfig->certificate_size);
    pki_secret_free(kubeconfig->key, kubeconfig->key_size);
    OPENSSL_clear_free(kubeconfig->frame, kubeconfig->frame_size);
    memset(kubeconfig, 0, sizeof *kubeconfig);
}
