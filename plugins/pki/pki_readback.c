/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this process has just made, read back before anybody sees it: by
 * libcrypto's own parser, and its signature verified. An X509 does as much,
 * but decodes the public key too, for which libcrypto 3 looks at each of its
 * decoders: that takes longer than making an authority and all it signs for a
 * replica. Whose key it is, is known here, so its bits are compared instead.
 */
#include "plugins/pki/pki.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/asn1t.h>

/* RFC 5280, 4.1. */
struct pki_validity {
    ASN1_TIME *not_before, *not_after;
};

struct pki_key_info {
    X509_ALGOR *algorithm;
    ASN1_BIT_STRING *bits;
};

struct pki_signed_part {
    ASN1_INTEGER *version, *serial;
    X509_ALGOR *algorithm;
    X509_NAME *issuer;
    struct pki_validity *validity;
    X509_NAME *subject;
    struct pki_key_info *key;
    X509_EXTENSIONS *extensions;
};

struct pki_outline {
    struct pki_signed_part *signed_part;
    X509_ALGOR *algorithm;
    ASN1_BIT_STRING *signature;
};

typedef struct pki_validity PKI_VALIDITY;
typedef struct pki_key_info PKI_KEY_INFO;
typedef struct pki_signed_part PKI_SIGNED_PART;
typedef struct pki_outline PKI_OUTLINE;

/* clang-format off */
ASN1_SEQUENCE(PKI_VALIDITY) = {
    ASN1_SIMPLE(PKI_VALIDITY, not_before, ASN1_TIME),
    ASN1_SIMPLE(PKI_VALIDITY, not_after, ASN1_TIME),
} static_ASN1_SEQUENCE_END(PKI_VALIDITY)

ASN1_SEQUENCE(PKI_KEY_INFO) = {
    ASN1_SIMPLE(PKI_KEY_INFO, algorithm, X509_ALGOR),
    ASN1_SIMPLE(PKI_KEY_INFO, bits, ASN1_BIT_STRING),
} static_ASN1_SEQUENCE_END(PKI_KEY_INFO)

ASN1_SEQUENCE(PKI_SIGNED_PART) = {
    ASN1_EXP(PKI_SIGNED_PART, version, ASN1_INTEGER, 0),
    ASN1_SIMPLE(PKI_SIGNED_PART, serial, ASN1_INTEGER),
    ASN1_SIMPLE(PKI_SIGNED_PART, algorithm, X509_ALGOR),
    ASN1_SIMPLE(PKI_SIGNED_PART, issuer, X509_NAME),
    ASN1_SIMPLE(PKI_SIGNED_PART, validity, PKI_VALIDITY),
    ASN1_SIMPLE(PKI_SIGNED_PART, subject, X509_NAME),
    ASN1_SIMPLE(PKI_SIGNED_PART, key, PKI_KEY_INFO),
    ASN1_EXP_SEQUENCE_OF(PKI_SIGNED_PART, extensions, X509_EXTENSION, 3),
} static_ASN1_SEQUENCE_END(PKI_SIGNED_PART)

ASN1_SEQUENCE(PKI_OUTLINE) = {
    ASN1_SIMPLE(PKI_OUTLINE, signed_part, PKI_SIGNED_PART),
    ASN1_SIMPLE(PKI_OUTLINE, algorithm, X509_ALGOR),
    ASN1_SIMPLE(PKI_OUTLINE, signature, ASN1_BIT_STRING),
} static_ASN1_SEQUENCE_END(PKI_OUTLINE)
    /* clang-format on */

    struct pki_readback {
    unsigned references;
    struct pki_outline *outline;
    ASN1_OCTET_STRING *key_id;
};

/* The bytes that were signed: the first element of the outer sequence, with its head. */
static const unsigned char *signed_bytes(const unsigned char *der, size_t size, size_t *length)
{
    const unsigned char *at = der, *start;
    long inner;
    int tag, class;

    if (ASN1_get_object(&at, &inner, &tag, &class, (long)size) & 0x80)
        return NULL;
    start = at;
    if (ASN1_get_object(&at, &inner, &tag, &class, (long)(size - (size_t)(at - der))) & 0x80)
        return NULL;
    *length = (size_t)(at - start) + (size_t)inner;
    return start;
}

static bool is_signed(const struct pki_crypto *crypto, const struct pki_outline *outline, const unsigned char *der,
                      size_t size, EVP_PKEY *signer)
{
    const ASN1_BIT_STRING *signature = outline->signature;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t length = 0;
    const unsigned char *bytes = signed_bytes(der, size, &length);
    bool good = context != NULL && bytes != NULL &&
                EVP_DigestVerifyInit_ex(context, NULL, EVP_MD_get0_name(pki_digest_for(crypto, signer)),
                                        crypto->library, NULL, signer, NULL) == 1 &&
                EVP_DigestVerify(context, ASN1_STRING_get0_data(signature), (size_t)ASN1_STRING_length(signature),
                                 bytes, length) == 1;

    EVP_MD_CTX_free(context);
    return good;
}

/* On curves the bits are the point, as they were put there. */
static bool has_key(const struct pki_outline *outline, const struct pki_public *subject)
{
    const ASN1_BIT_STRING *bits = outline->signed_part->key->bits;

    return subject->curve == NULL || ((size_t)ASN1_STRING_length(bits) == subject->point_size &&
                                      memcmp(ASN1_STRING_get0_data(bits), subject->point, subject->point_size) == 0);
}

struct pki_readback *pki_readback_make(const struct pki_maker *maker, const unsigned char *der, size_t size,
                                       EVP_PKEY *signer)
{
    struct pki_readback *readback = calloc(1, sizeof *readback);
    const unsigned char *at = der;

    if (readback == NULL)
        return NULL;
    readback->references = 1;
    readback->outline = (struct pki_outline *)ASN1_item_d2i(NULL, &at, (long)size, ASN1_ITEM_rptr(PKI_OUTLINE));
    if (readback->outline != NULL && at == der + size && has_key(readback->outline, &maker->subject) &&
        X509_ALGOR_cmp(readback->outline->algorithm, readback->outline->signed_part->algorithm) == 0 &&
        is_signed(maker->crypto, readback->outline, der, size, signer)) {
        readback->key_id =
            X509V3_get_d2i(readback->outline->signed_part->extensions, NID_subject_key_identifier, NULL, NULL);
        return readback;
    }
    pki_readback_free(readback);
    return NULL;
}

struct pki_readback *pki_readback_keep(struct pki_readback *readback)
{
    readback->references++;
    return readback;
}

void pki_readback_free(struct pki_readback *readback)
{
    if (readback == NULL || --readback->references > 0)
        return;
    ASN1_item_free((ASN1_VALUE *)readback->outline, ASN1_ITEM_rptr(PKI_OUTLINE));
    ASN1_OCTET_STRING_free(readback->key_id);
    free(readback);
}

bool pki_readback_issuer(const struct pki_readback *readback, struct pki_issuer *issuer)
{
    *issuer = (struct pki_issuer){.key_id = readback->key_id};
    return X509_NAME_get0_der(readback->outline->signed_part->subject, &issuer->name, &issuer->name_size) == 1;
}
