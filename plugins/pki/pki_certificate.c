/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates: reading them, and what they say. Names are built from
 * structures and never from text, in which a comma would begin a field of its
 * own. */
#include "plugins/pki/pki.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

int pki_subject_set(X509_NAME *name, const char *common_name, const char *organization)
{
    if (organization != NULL && !X509_NAME_add_entry_by_NID(name, NID_organizationName, MBSTRING_UTF8,
                                                            (const unsigned char *)organization, -1, -1, 0))
        return 0;
    return X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1,
                                      0);
}

static GENERAL_NAME *general_name(const struct pki_name *name)
{
    GENERAL_NAME *general = GENERAL_NAME_new();
    ASN1_STRING *value =
        name->is_address ? (ASN1_STRING *)ASN1_OCTET_STRING_new() : (ASN1_STRING *)ASN1_IA5STRING_new();
    const void *data = name->is_address ? (const void *)name->octets : (const void *)name->text;
    size_t size = name->is_address ? name->octet_count : strlen(name->text);

    if (general == NULL || value == NULL || ASN1_STRING_set(value, data, (int)size) != 1) {
        GENERAL_NAME_free(general);
        ASN1_STRING_free(value);
        return NULL;
    }
    GENERAL_NAME_set0_value(general, name->is_address ? GEN_IPADD : GEN_DNS, value);
    return general;
}

GENERAL_NAMES *pki_general_names(const struct pki_names *names)
{
    GENERAL_NAMES *list = GENERAL_NAMES_new();

    for (size_t i = 0; list != NULL && i < names->count; i++) {
        GENERAL_NAME *general = general_name(&names->list[i]);
        if (general != NULL && sk_GENERAL_NAME_push(list, general) > 0)
            continue;
        GENERAL_NAME_free(general);
        GENERAL_NAMES_free(list);
        return NULL;
    }
    return list;
}

static X509 *read_next(const struct pki_crypto *crypto, BIO *bio)
{
    X509 *certificate = X509_new_ex(crypto->library, NULL);

    if (certificate != NULL && PEM_read_bio_X509(bio, &certificate, pki_no_passphrase, NULL) != NULL)
        return certificate;
    X509_free(certificate);
    return NULL;
}

X509 *pki_certificate_read(const struct pki_crypto *crypto, const char *pem, size_t size)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)size);
    X509 *certificate = bio != NULL ? read_next(crypto, bio) : NULL;

    BIO_free(bio);
    return certificate;
}

STACK_OF(X509) * pki_chain_read(const struct pki_crypto *crypto, const char *pem, size_t size)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)size);
    STACK_OF(X509) *chain = sk_X509_new_null();
    X509 *certificate;
    bool good = bio != NULL && chain != NULL;

    while (good && (certificate = read_next(crypto, bio)) != NULL)
        if (sk_X509_num(chain) >= PKI_CHAIN_LIMIT || sk_X509_push(chain, certificate) <= 0) {
            X509_free(certificate);
            good = false;
        }
    /* The end of the file is no error; anything else that is not a certificate is. */
    good = good && sk_X509_num(chain) > 0 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    BIO_free(bio);
    if (good) {
        ERR_clear_error();
        return chain;
    }
    sk_X509_pop_free(chain, X509_free);
    return NULL;
}

X509 *pki_certificate_parse(const struct pki_crypto *crypto, const unsigned char *der, size_t size)
{
    X509 *certificate = X509_new_ex(crypto->library, NULL);

    if (certificate != NULL && d2i_X509(&certificate, &der, (long)size) != NULL)
        return certificate;
    X509_free(certificate);
    return NULL;
}

static size_t pem_room(const char *what, size_t der_size)
{
    return der_size / 48 * 65 + 66 + 2 * (strlen(what) + 20);
}

/* Lines of 64 characters between the two that say what it is. */
static char *pem_write(char *text, size_t room, const char *what, const unsigned char *der, size_t der_size,
                       size_t *size)
{
    size_t used;

    if (text == NULL)
        return NULL;
    used = (size_t)snprintf(text, room, "-----BEGIN %s-----\n", what);
    for (size_t at = 0; at < der_size; at += 48) {
        size_t piece = der_size - at < 48 ? der_size - at : 48;
        used += (size_t)EVP_EncodeBlock((unsigned char *)text + used, der + at, (int)piece);
        text[used++] = '\n';
    }
    *size = used + (size_t)snprintf(text + used, room - used, "-----END %s-----\n", what);
    return text;
}

char *pki_pem(const char *what, const unsigned char *der, size_t der_size, size_t *size)
{
    size_t room = pem_room(what, der_size);

    return pem_write(malloc(room), room, what, der, der_size, size);
}

char *pki_secret_pem(const char *what, const unsigned char *der, size_t der_size, size_t *size)
{
    size_t room = pem_room(what, der_size);

    return pem_write(pki_secret_new(room), room, what, der, der_size, size);
}

int pki_certificate_write(X509 *certificate, char **pem, size_t *size)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int result = -1;

    if (bio != NULL && PEM_write_bio_X509(bio, certificate) == 1)
        result = pki_bio_take(bio, pem, size);
    BIO_free(bio);
    return result;
}

int64_t pki_time_s(const ASN1_TIME *time)
{
    struct tm parts;

    return ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

/* X509_get0_subject_key_id would take apart all extensions, and digest the
 * certificate with an algorithm of the context that is not used here. */
ASN1_OCTET_STRING *pki_key_id(X509 *certificate, bool issuer)
{
    AUTHORITY_KEYID *of_issuer;
    ASN1_OCTET_STRING *id = NULL;

    if (!issuer)
        return X509_get_ext_d2i(certificate, NID_subject_key_identifier, NULL, NULL);
    of_issuer = X509_get_ext_d2i(certificate, NID_authority_key_identifier, NULL, NULL);
    if (of_issuer != NULL) {
        id = of_issuer->keyid;
        of_issuer->keyid = NULL; /* handed over */
    }
    AUTHORITY_KEYID_free(of_issuer);
    return id;
}

char *pki_subject(X509 *certificate)
{
    return pki_name_text(X509_get_subject_name(certificate));
}

char *pki_name_text(const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    size_t size;

    if (bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) > 0)
        pki_bio_take(bio, &text, &size);
    BIO_free(bio);
    return text;
}

static bool name_from_general(const GENERAL_NAME *general, struct pki_name *name)
{
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(general, &type);
    char text[256];
    size_t size;

    if (type != GEN_DNS && type != GEN_IPADD)
        return false;
    size = (size_t)ASN1_STRING_length(value);
    if (type == GEN_IPADD)
        return (size == 4 || size == 16) &&
               inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(value), text, sizeof text) != NULL &&
               pki_name_parse(text, name) && name->is_address;
    if (size >= sizeof text)
        return false;
    memcpy(text, ASN1_STRING_get0_data(value), size);
    text[size] = '\0';
    /* A NUL within it, or an address written as a name, is nothing of ours. */
    return strlen(text) == size && pki_name_parse(text, name) && !name->is_address;
}

int pki_general_names_read(const GENERAL_NAMES *list, struct pki_names *names, bool *strange)
{
    int count = list != NULL ? sk_GENERAL_NAME_num(list) : 0;

    memset(names, 0, sizeof *names);
    if (count > 0 && (names->list = calloc((size_t)count, sizeof *names->list)) == NULL)
        return -1;
    for (int i = 0; i < count; i++) {
        if (name_from_general(sk_GENERAL_NAME_value(list, i), &names->list[names->count]))
            names->count++;
        else
            *strange = true;
    }
    return 0;
}

int pki_certificate_names(X509 *certificate, struct pki_names *names, bool *strange)
{
    int critical, result;
    GENERAL_NAMES *list = X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, NULL);

    *strange = list == NULL && critical != -1;
    result = pki_general_names_read(list, names, strange);
    GENERAL_NAMES_free(list);
    return result;
}

bool pki_constraints_allow(X509 *authority, X509 *certificate)
{
    int critical = -1;
    NAME_CONSTRAINTS *constraints = X509_get_ext_d2i(authority, NID_name_constraints, &critical, NULL);
    bool allowed = constraints == NULL && critical == -1; /* what cannot be read allows nothing */

    /* The names are looked at only once the extensions were taken apart. */
    if (constraints != NULL)
        allowed = X509_check_purpose(certificate, -1, 0) == 1 &&
                  NAME_CONSTRAINTS_check(certificate, constraints) == X509_V_OK;

    NAME_CONSTRAINTS_free(constraints);
    return allowed;
}

bool pki_chain_constrains(const STACK_OF(X509) * chain)
{
    for (int i = 0; chain != NULL && i < sk_X509_num(chain); i++)
        if (X509_get_ext_by_NID(sk_X509_value(chain, i), NID_name_constraints, -1) >= 0)
            return true;
    return false;
}

bool pki_chain_allows(const STACK_OF(X509) * chain, X509 *certificate)
{
    for (int i = 0; chain != NULL && i < sk_X509_num(chain); i++)
        if (!pki_constraints_allow(sk_X509_value(chain, i), certificate))
            return false;
    return true;
}
