/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A certificate's DER, written from its end to its beginning: so each length
 * is known when its turn comes, and nothing is encoded twice. The structures
 * of libcrypto encode a certificate three times on its way to a file, which
 * takes as long as making its key and its signature together.
 */
#include "plugins/pki/pki.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/rand.h>

enum {
    TAG_BOOLEAN = 0x01,
    TAG_INTEGER = 0x02,
    TAG_BIT_STRING = 0x03,
    TAG_OCTET_STRING = 0x04,
    TAG_UTF8_STRING = 0x0c,
    TAG_UTC_TIME = 0x17,
    TAG_GENERALIZED_TIME = 0x18,
    TAG_SEQUENCE = 0x30,
    TAG_SET = 0x31,
    TAG_DNS_NAME = 0x82,   /* [2], in GeneralName */
    TAG_IP_ADDRESS = 0x87, /* [7] */
    TAG_KEY_ID = 0x80,     /* [0], in AuthorityKeyIdentifier */
    TAG_VERSION = 0xa0,    /* [0], in TBSCertificate */
    TAG_EXTENSIONS = 0xa3  /* [3] */
};

/* What has been written stands from `at` to the end of the buffer. */
struct der {
    unsigned char *buffer;
    size_t room, at;
    bool failed; /* the buffer is too small */
};

static void put(struct der *der, const void *bytes, size_t size)
{
    if (der->failed || size > der->at) {
        der->failed = true;
        return;
    }
    der->at -= size;
    memcpy(der->buffer + der->at, bytes, size);
}

static void put_byte(struct der *der, unsigned byte)
{
    unsigned char one = (unsigned char)byte;

    put(der, &one, 1);
}

/* Puts tag and length before all that was written since `end`. */
static void wrap(struct der *der, unsigned tag, size_t end)
{
    size_t length = end - der->at, rest = length;
    unsigned octets = 0;

    if (length < 128) {
        put_byte(der, (unsigned)length);
    } else {
        for (; rest > 0; rest >>= 8, octets++)
            put_byte(der, rest & 0xff);
        put_byte(der, 0x80 | octets);
    }
    put_byte(der, tag);
}

static void put_value(struct der *der, unsigned tag, const void *bytes, size_t size)
{
    size_t end = der->at;

    put(der, bytes, size);
    wrap(der, tag, end);
}

#define PUT_CONSTANT(der, ...)                                \
    do {                                                      \
        static const unsigned char constant_[] = __VA_ARGS__; \
        put(der, constant_, sizeof constant_);                \
    } while (0)

/* ---- parts ---- */

static const struct algorithm {
    int nid;
    unsigned char der[16];
    size_t size;
} algorithms[] = {
    {NID_ecdsa_with_SHA256, {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02}, 12},
    {NID_ecdsa_with_SHA384, {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03}, 12},
    {NID_sha256WithRSAEncryption,
     {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00},
     15},
};

static const struct algorithm *algorithm_of(const struct pki_crypto *crypto, const struct pki_signer *signer)
{
    int nid = pki_curve_digest(crypto, signer->curve) == crypto->sha384 ? NID_ecdsa_with_SHA384 : NID_ecdsa_with_SHA256;

    if (signer->curve == NULL)
        nid = NID_sha256WithRSAEncryption;
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++)
        if (algorithms[i].nid == nid)
            return &algorithms[i];
    return NULL;
}

/* UTCTime through 2049, GeneralizedTime from 2050 on (RFC 5280, 4.1.2.5). */
static void put_time(struct der *der, int64_t time_s)
{
    time_t when = (time_t)time_s;
    char text[32];
    size_t length;
    struct tm parts;

    if (gmtime_r(&when, &parts) == NULL || parts.tm_year >= 8100 || parts.tm_year < 0) {
        der->failed = true;
        return;
    }
    length = strftime(text, sizeof text, "%Y%m%d%H%M%SZ", &parts);
    if (parts.tm_year >= 50 && parts.tm_year < 150)
        put_value(der, TAG_UTC_TIME, text + 2, length - 2); /* without the century */
    else
        put_value(der, TAG_GENERALIZED_TIME, text, length);
}

/* One relative name: an attribute 2.5.4.`type`. */
static void put_attribute(struct der *der, unsigned type, const char *text)
{
    size_t end = der->at;
    unsigned char oid[] = {0x06, 0x03, 0x55, 0x04, (unsigned char)type};

    put_value(der, TAG_UTF8_STRING, text, strlen(text));
    put(der, oid, sizeof oid);
    wrap(der, TAG_SEQUENCE, end);
    wrap(der, TAG_SET, end);
}

static void put_subject(struct der *der, const struct pki_issuance *issuance)
{
    size_t end = der->at;

    put_attribute(der, 3, issuance->common_name);
    if (issuance->organization != NULL)
        put_attribute(der, 10, issuance->organization);
    wrap(der, TAG_SEQUENCE, end);
}

/* 126 random bits: positive, and never zero. */
static bool put_serial(struct der *der, const struct pki_crypto *crypto)
{
    unsigned char octets[16];

    if (RAND_bytes_ex(crypto->library, octets, sizeof octets, 0) != 1)
        return false;
    /* No octet of zeros in front, which DER would have to leave out. */
    octets[0] = (unsigned char)((octets[0] & 0x7f) | 0x40);
    put_value(der, TAG_INTEGER, octets, sizeof octets);
    return true;
}

/* ---- extensions ---- */

/* After its value was put as it is: the rest of an extension 2.5.29.`type`. */
static void wrap_extension(struct der *der, unsigned type, bool critical, size_t end)
{
    unsigned char oid[] = {0x06, 0x03, 0x55, 0x1d, (unsigned char)type};

    wrap(der, TAG_OCTET_STRING, end);
    if (critical)
        PUT_CONSTANT(der, {TAG_BOOLEAN, 1, 0xff});
    put(der, oid, sizeof oid);
    wrap(der, TAG_SEQUENCE, end);
}

static void put_basic_constraints(struct der *der, bool authority)
{
    size_t end = der->at;

    /* A path length of 0: these authorities sign leaves only. */
    if (authority)
        PUT_CONSTANT(der, {TAG_BOOLEAN, 1, 0xff, TAG_INTEGER, 1, 0});
    wrap(der, TAG_SEQUENCE, end);
    wrap_extension(der, 19, true, end);
}

/* RFC 8813: an elliptic curve key enciphers no key. */
static void put_key_usage(struct der *der, bool authority, bool elliptic)
{
    size_t end = der->at;

    if (authority)
        PUT_CONSTANT(der, {TAG_BIT_STRING, 2, 1, 0x06}); /* keyCertSign, cRLSign */
    else if (elliptic)
        PUT_CONSTANT(der, {TAG_BIT_STRING, 2, 7, 0x80}); /* digitalSignature */
    else
        PUT_CONSTANT(der, {TAG_BIT_STRING, 2, 5, 0xa0}); /* and keyEncipherment */
    wrap_extension(der, 15, true, end);
}

static void put_extended_key_usage(struct der *der, unsigned usage)
{
    size_t end = der->at;

    if (usage & PKI_CLIENT)
        PUT_CONSTANT(der, {0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02});
    if (usage & PKI_SERVER)
        PUT_CONSTANT(der, {0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01});
    wrap(der, TAG_SEQUENCE, end);
    wrap_extension(der, 37, false, end);
}

static void put_names(struct der *der, const struct pki_names *names)
{
    size_t end = der->at;

    for (size_t i = names->count; i > 0; i--) {
        const struct pki_name *name = &names->list[i - 1];
        if (name->is_address)
            put_value(der, TAG_IP_ADDRESS, name->octets, name->octet_count);
        else
            put_value(der, TAG_DNS_NAME, name->text, strlen(name->text));
    }
    wrap(der, TAG_SEQUENCE, end);
    wrap_extension(der, 17, false, end);
}

static void put_constraints(struct der *der, const NAME_CONSTRAINTS *constraints)
{
    unsigned char *encoded = NULL;
    size_t end = der->at;
    int length = ASN1_item_i2d((const ASN1_VALUE *)constraints, &encoded, ASN1_ITEM_rptr(NAME_CONSTRAINTS));

    if (length <= 0)
        der->failed = true;
    else
        put(der, encoded, (size_t)length);
    OPENSSL_free(encoded);
    wrap_extension(der, 30, true, end);
}

#define KEY_ID_SIZE 20

static void put_subject_key_id(struct der *der, const unsigned char id[KEY_ID_SIZE])
{
    size_t end = der->at;

    put_value(der, TAG_OCTET_STRING, id, KEY_ID_SIZE);
    wrap_extension(der, 14, false, end);
}

static void put_authority_key_id(struct der *der, const ASN1_OCTET_STRING *id)
{
    size_t end = der->at;

    if (id == NULL)
        return;
    put_value(der, TAG_KEY_ID, ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id));
    wrap(der, TAG_SEQUENCE, end);
    wrap_extension(der, 35, false, end);
}

/* ---- the public key ---- */

/* And its identifier: RFC 7093, method 1, 160 bits of SHA-256 over the key's
 * bits, which stay the same as long as the key does. */
static bool put_public_key(struct der *der, const struct pki_crypto *crypto, const struct pki_public *subject,
                           unsigned char id[KEY_ID_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    const unsigned char *bits = subject->point;
    size_t head_size;
    const unsigned char *head = pki_public_head(subject, &head_size);
    X509_PUBKEY *general = NULL;
    int length = (int)subject->point_size, encoded_size = 0;
    unsigned char *encoded = NULL;
    bool good = false;

    if (head == NULL) {
        if (X509_PUBKEY_set(&general, subject->key) != 1 ||
            X509_PUBKEY_get0_param(NULL, &bits, &length, NULL, general) != 1 ||
            (encoded_size = i2d_X509_PUBKEY(general, &encoded)) <= 0)
            goto out;
        put(der, encoded, (size_t)encoded_size);
    } else {
        put(der, subject->point, subject->point_size);
        put(der, head, head_size);
    }
    good = length > 0 && EVP_Digest(bits, (size_t)length, digest, NULL, crypto->sha256, NULL) == 1;
    memcpy(id, digest, KEY_ID_SIZE);
out:
    OPENSSL_free(encoded);
    X509_PUBKEY_free(general);
    return good;
}

/* ---- all of it ---- */

static void put_issuer(struct der *der, const struct pki_issuance *issuance, const struct pki_issuer *issuer)
{
    if (issuer == NULL)
        put_subject(der, issuance);
    else
        put(der, issuer->name, issuer->name_size);
}

static bool put_to_be_signed(struct der *der, const struct pki_crypto *crypto, const struct pki_public *subject,
                             const struct pki_issuance *issuance, const struct pki_issuer *issuer,
                             const struct algorithm *algorithm)
{
    unsigned char id[KEY_ID_SIZE], public_key[PKI_PUBLIC_KEY_MAX];
    struct der public_part = {.buffer = public_key, .room = sizeof public_key, .at = sizeof public_key};
    size_t end = der->at, part;

    /* Its identifier comes first here, since it stands later there. */
    if (!put_public_key(&public_part, crypto, subject, id) || public_part.failed)
        return false;
    if (issuer != NULL)
        put_authority_key_id(der, issuer->key_id);
    put_subject_key_id(der, id);
    if (issuance->constraints != NULL)
        put_constraints(der, issuance->constraints);
    if (issuance->names != NULL && issuance->names->count > 0)
        put_names(der, issuance->names);
    if (!issuance->authority)
        put_extended_key_usage(der, issuance->usage);
    put_key_usage(der, issuance->authority, subject->curve != NULL);
    put_basic_constraints(der, issuance->authority);
    wrap(der, TAG_SEQUENCE, end);
    wrap(der, TAG_EXTENSIONS, end);
    put(der, public_key + public_part.at, sizeof public_key - public_part.at);
    put_subject(der, issuance);
    part = der->at;
    put_time(der, issuance->not_after_s);
    put_time(der, issuance->not_before_s);
    wrap(der, TAG_SEQUENCE, part);
    put_issuer(der, issuance, issuer);
    put(der, algorithm->der, algorithm->size);
    if (!put_serial(der, crypto))
        return false;
    PUT_CONSTANT(der, {TAG_VERSION, 3, TAG_INTEGER, 1, 2});
    wrap(der, TAG_SEQUENCE, end);
    return !der->failed;
}

static size_t room_for(const struct pki_issuance *issuance)
{
    size_t room = 4096;

    for (size_t i = 0; issuance->names != NULL && i < issuance->names->count; i++)
        room += strlen(issuance->names->list[i].text) + 20;
    return room;
}

/* Ready to sign. The context of a key that signs again and again is begun anew, not made anew. */
static struct pki_signer *begin_signature(struct pki_maker *maker, EVP_PKEY *key)
{
    struct pki_signer *signer;

    for (size_t i = 0; i < PKI_SIGNERS; i++) {
        signer = &maker->signers[i];
        if (signer->key == key)
            return EVP_DigestSignInit(signer->context, NULL, NULL, NULL, NULL) == 1 ? signer : NULL;
    }
    signer = &maker->signers[maker->next_signer++ % PKI_SIGNERS];
    EVP_PKEY_free(signer->key);
    signer->key = NULL;
    EVP_MD_CTX_free(signer->context);
    signer->context = EVP_MD_CTX_new();
    signer->curve = pki_key_curve(key);
    if (signer->context == NULL ||
        EVP_DigestSignInit_ex(signer->context, NULL, EVP_MD_get0_name(pki_curve_digest(maker->crypto, signer->curve)),
                              maker->crypto->library, NULL, key, NULL) != 1 ||
        EVP_PKEY_up_ref(key) != 1)
        return NULL;
    signer->key = key;
    return signer;
}

static bool put_signature(struct der *whole, const struct pki_signer *signer, const struct der *signed_part,
                          const struct algorithm *algorithm)
{
    unsigned char signature[1024];
    size_t size = sizeof signature, end = whole->at;

    if (EVP_DigestSign(signer->context, signature, &size, signed_part->buffer + signed_part->at,
                       signed_part->room - signed_part->at) != 1)
        return false;
    put(whole, signature, size);
    put_byte(whole, 0); /* no unused bits */
    wrap(whole, TAG_BIT_STRING, end);
    put(whole, algorithm->der, algorithm->size);
    put(whole, signed_part->buffer + signed_part->at, signed_part->room - signed_part->at);
    wrap(whole, TAG_SEQUENCE, end);
    return !whole->failed;
}

unsigned char *pki_certificate_make_under(struct pki_maker *maker, EVP_PKEY *key, const struct pki_issuance *issuance,
                                          const struct pki_issuer *issuer, EVP_PKEY *issuer_key, size_t *size)
{
    size_t room = room_for(issuance);
    struct der to_be_signed = {.buffer = malloc(room), .room = room, .at = room};
    struct der whole = {.buffer = malloc(room + 1280), .room = room + 1280, .at = room + 1280};
    const struct pki_signer *signer = pki_public_take(&maker->subject, key) ? begin_signature(maker, issuer_key) : NULL;
    const struct algorithm *algorithm = signer != NULL ? algorithm_of(maker->crypto, signer) : NULL;
    unsigned char *der;
    bool good = to_be_signed.buffer != NULL && whole.buffer != NULL && algorithm != NULL &&
                put_to_be_signed(&to_be_signed, maker->crypto, &maker->subject, issuance, issuer, algorithm) &&
                put_signature(&whole, signer, &to_be_signed, algorithm);

    free(to_be_signed.buffer);
    if (!good) {
        free(whole.buffer);
        return NULL;
    }
    *size = whole.room - whole.at;
    memmove(whole.buffer, whole.buffer + whole.at, *size);
    /* It is kept until the batch is over, and so is what is made after it. */
    der = realloc(whole.buffer, *size);
    return der != NULL ? der : whole.buffer;
}

unsigned char *pki_certificate_make(struct pki_maker *maker, EVP_PKEY *key, const struct pki_issuance *issuance,
                                    X509 *issuer, EVP_PKEY *issuer_key, size_t *size)
{
    struct pki_issuer parts;
    ASN1_OCTET_STRING *key_id;
    unsigned char *der;

    if (issuer == NULL)
        return pki_certificate_make_under(maker, key, issuance, NULL, issuer_key, size);
    key_id = pki_key_id(issuer, false);
    parts.key_id = key_id;
    der = X509_NAME_get0_der(X509_get_subject_name(issuer), &parts.name, &parts.name_size) == 1
              ? pki_certificate_make_under(maker, key, issuance, &parts, issuer_key, size)
              : NULL;
    ASN1_OCTET_STRING_free(key_id);
    return der;
}
