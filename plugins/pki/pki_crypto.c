/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL 3's encoders and decoders cost ten times a signature, so keys on
 * the two common curves go around them: their PKCS#8 is a fixed frame. What
 * does not fit the frame takes the general way. */
#include "plugins/pki/pki.h"

#include "lib/file.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

/* RFC 5958 around RFC 5915 without parameters: head, private value, middle,
 * uncompressed point. */
struct curve {
    const char *key_type;
    const char *group;
    int nid;
    size_t field_size;
    size_t head_size;
    unsigned char head[40];
    unsigned char middle[5];
};

static const struct curve curves[] = {
    {"ecdsa-p256",
     "P-256",
     NID_X9_62_prime256v1,
     32,
     36,
     {0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
      0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20},
     {0xa1, 0x44, 0x03, 0x42, 0x00}},
    {"ecdsa-p384",
     "P-384",
     NID_secp384r1,
     48,
     35,
     {0x30, 0x81, 0xb6, 0x02, 0x01, 0x00, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
      0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x04, 0x81, 0x9e, 0x30, 0x81, 0x9b, 0x02, 0x01, 0x01, 0x04, 0x30},
     {0xa1, 0x64, 0x03, 0x62, 0x00}},
};

#define CURVE_COUNT (sizeof curves / sizeof curves[0])
#define POINT_MAX   97
#define FRAME_MAX   200

static size_t point_size(const struct curve *curve)
{
    return 2 * curve->field_size + 1;
}

static size_t frame_size(const struct curve *curve)
{
    return curve->head_size + curve->field_size + sizeof curve->middle + point_size(curve);
}

static const struct curve *curve_of(EVP_PKEY *key)
{
    char group[64];

    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC || EVP_PKEY_get_group_name(key, group, sizeof group, NULL) != 1)
        return NULL;
    for (size_t i = 0; i < CURVE_COUNT; i++)
        if (OBJ_txt2nid(group) == curves[i].nid || strcmp(group, curves[i].group) == 0)
            return &curves[i];
    return NULL;
}

const char *pki_crypto_error(void)
{
    unsigned long code = ERR_peek_error();
    const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return text != NULL ? text : "libcrypto gives no reason";
}

/* ---- keys ---- */

EVP_PKEY *pki_key_generate(const char *key_type)
{
    for (size_t i = 0; i < CURVE_COUNT; i++)
        if (strcmp(key_type, curves[i].key_type) == 0)
            return EVP_EC_gen(curves[i].group);
    if (strcmp(key_type, "rsa-2048") == 0)
        return EVP_RSA_gen(2048);
    return NULL;
}

bool pki_key_has_type(EVP_PKEY *key, const char *key_type)
{
    const struct curve *curve = curve_of(key);

    if (curve != NULL)
        return strcmp(curve->key_type, key_type) == 0;
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) == 2048 &&
           strcmp(key_type, "rsa-2048") == 0;
}

static size_t key_point(EVP_PKEY *key, unsigned char *point, size_t size)
{
    size_t length = 0;

    if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, size, &length) != 1)
        return 0;
    return length;
}

static size_t frame_write(EVP_PKEY *key, const struct curve *curve, unsigned char frame[FRAME_MAX])
{
    unsigned char *at = frame;
    BIGNUM *private_value = NULL;
    size_t written = 0;

    memcpy(at, curve->head, curve->head_size);
    at += curve->head_size;
    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &private_value) != 1 ||
        BN_bn2binpad(private_value, at, (int)curve->field_size) < 0)
        goto out;
    at += curve->field_size;
    memcpy(at, curve->middle, sizeof curve->middle);
    at += sizeof curve->middle;
    if (key_point(key, at, POINT_MAX) == point_size(curve))
        written = frame_size(curve);
out:
    BN_clear_free(private_value);
    return written;
}

static EVP_PKEY *key_from_parts(const struct curve *curve, const unsigned char *value, const unsigned char *point)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL), *check = NULL;
    BIGNUM *number = BN_secure_new();
    OSSL_PARAM *parameters = NULL;
    EVP_PKEY *key = NULL;

    if (build == NULL || context == NULL || number == NULL || !BN_bin2bn(value, (int)curve->field_size, number) ||
        !OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0) ||
        !OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, number) ||
        !OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, point_size(curve)) ||
        (parameters = OSSL_PARAM_BLD_to_param(build)) == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, parameters) != 1)
        goto out;
    /* A file may hold a point that is not this value's. */
    check = EVP_PKEY_CTX_new(key, NULL);
    if (check == NULL || EVP_PKEY_pairwise_check(check) != 1) {
        EVP_PKEY_free(key);
        key = NULL;
    }
out:
    EVP_PKEY_CTX_free(check);
    OSSL_PARAM_free(parameters);
    BN_clear_free(number);
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_BLD_free(build);
    return key;
}

static EVP_PKEY *frame_read(const unsigned char *frame, size_t size, bool *fits)
{
    for (size_t i = 0; i < CURVE_COUNT; i++) {
        const struct curve *curve = &curves[i];
        const unsigned char *value = frame + curve->head_size, *middle = value + curve->field_size;
        if (size != frame_size(curve) || memcmp(frame, curve->head, curve->head_size) != 0 ||
            memcmp(middle, curve->middle, sizeof curve->middle) != 0)
            continue;
        *fits = true;
        return key_from_parts(curve, value, middle + sizeof curve->middle);
    }
    return NULL;
}

/* Without this libcrypto would ask on the terminal for a pass phrase. */
static int no_pass_phrase(char *buffer, int size, int writing, void *data)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)data;
    return -1;
}

static EVP_PKEY *key_read_general(const char *pem, size_t size)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)size);
    EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL) : NULL;

    BIO_free(bio);
    return key;
}

EVP_PKEY *pki_key_read(const char *pem, size_t size)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)size);
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long length = 0;
    bool fits = false;
    EVP_PKEY *key = NULL;

    if (bio != NULL && PEM_read_bio(bio, &name, &header, &der, &length) == 1 && strcmp(name, "PRIVATE KEY") == 0)
        key = frame_read(der, (size_t)length, &fits);
    if (!fits)
        key = key_read_general(pem, size);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(der, (size_t)length);
    BIO_free(bio);
    return key;
}

static int bio_take(BIO *bio, char **text, size_t *size)
{
    char *data;
    long length = BIO_get_mem_data(bio, &data);

    *text = length > 0 ? malloc((size_t)length + 1) : NULL;
    if (*text == NULL)
        return -1;
    memcpy(*text, data, (size_t)length);
    (*text)[length] = '\0';
    *size = (size_t)length;
    return 0;
}

int pki_key_write(EVP_PKEY *key, char **pem, size_t *size)
{
    const struct curve *curve = curve_of(key);
    BIO *bio = BIO_new(BIO_s_secmem());
    unsigned char frame[FRAME_MAX];
    int result = -1;

    if (bio == NULL)
        return -1;
    if (curve != NULL) {
        size_t length = frame_write(key, curve, frame);
        if (length > 0 && PEM_write_bio(bio, "PRIVATE KEY", "", frame, (long)length) > 0)
            result = bio_take(bio, pem, size);
        OPENSSL_cleanse(frame, sizeof frame);
    } else if (PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
        result = bio_take(bio, pem, size);
    }
    BIO_free(bio);
    return result;
}

/* ---- certificates ---- */

static int set_public_key(X509 *certificate, EVP_PKEY *key)
{
    const struct curve *curve = curve_of(key);
    unsigned char *point;

    if (curve == NULL)
        return X509_set_pubkey(certificate, key);
    point = OPENSSL_malloc(point_size(curve));
    if (point == NULL)
        return 0;
    if (key_point(key, point, point_size(curve)) == point_size(curve) &&
        X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(certificate), OBJ_nid2obj(NID_X9_62_id_ecPublicKey), V_ASN1_OBJECT,
                               OBJ_nid2obj(curve->nid), point, (int)point_size(curve)) == 1)
        return 1;
    OPENSSL_free(point);
    return 0;
}

/* 127 random bits: positive, and never zero. */
static int set_serial(X509 *certificate)
{
    unsigned char octets[16];
    BIGNUM *number;
    int result;

    if (RAND_bytes(octets, sizeof octets) != 1)
        return 0;
    octets[0] &= 0x7f;
    octets[sizeof octets - 1] |= 1;
    number = BN_bin2bn(octets, sizeof octets, NULL);
    result = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return result;
}

int pki_subject_set(X509_NAME *name, const char *common_name, const char *organization)
{
    if (organization != NULL && !X509_NAME_add_entry_by_NID(name, NID_organizationName, MBSTRING_UTF8,
                                                            (const unsigned char *)organization, -1, -1, 0))
        return 0;
    return X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1,
                                      0);
}

static int add_basic_constraints(X509 *certificate, bool authority)
{
    BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
    int result = 0;

    if (constraints == NULL)
        return 0;
    constraints->ca = authority ? 0xff : 0;
    if (authority)
        constraints->pathlen = ASN1_INTEGER_new(); /* 0: these authorities sign leaves only */
    if (!authority || (constraints->pathlen != NULL && ASN1_INTEGER_set(constraints->pathlen, 0) == 1))
        result = X509_add1_ext_i2d(certificate, NID_basic_constraints, constraints, 1, 0);
    BASIC_CONSTRAINTS_free(constraints);
    return result;
}

/* RFC 8813: an elliptic curve key enciphers no key. */
static int add_key_usage(X509 *certificate, EVP_PKEY *key, bool authority)
{
    ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
    int result = bits != NULL;

    if (authority)
        result = result && ASN1_BIT_STRING_set_bit(bits, 5, 1) && ASN1_BIT_STRING_set_bit(bits, 6, 1);
    else
        result = result && ASN1_BIT_STRING_set_bit(bits, 0, 1);
    if (!authority && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
        result = result && ASN1_BIT_STRING_set_bit(bits, 2, 1);
    result = result && X509_add1_ext_i2d(certificate, NID_key_usage, bits, 1, 0);
    ASN1_BIT_STRING_free(bits);
    return result;
}

static int add_extended_key_usage(X509 *certificate, unsigned usage)
{
    EXTENDED_KEY_USAGE *list = sk_ASN1_OBJECT_new_null();
    int result = list != NULL;

    if (usage & PKI_SERVER)
        result = result && sk_ASN1_OBJECT_push(list, OBJ_nid2obj(NID_server_auth)) > 0;
    if (usage & PKI_CLIENT)
        result = result && sk_ASN1_OBJECT_push(list, OBJ_nid2obj(NID_client_auth)) > 0;
    result = result && X509_add1_ext_i2d(certificate, NID_ext_key_usage, list, 0, 0);
    sk_ASN1_OBJECT_pop_free(list, ASN1_OBJECT_free);
    return result;
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

static int add_names(X509 *certificate, const struct pki_names *names)
{
    GENERAL_NAMES *list;
    int result;

    if (names == NULL || names->count == 0)
        return 1;
    list = GENERAL_NAMES_new();
    result = list != NULL;
    for (size_t i = 0; result && i < names->count; i++) {
        GENERAL_NAME *general = general_name(&names->list[i]);
        result = general != NULL && sk_GENERAL_NAME_push(list, general) > 0;
        if (!result)
            GENERAL_NAME_free(general);
    }
    result = result && X509_add1_ext_i2d(certificate, NID_subject_alt_name, list, 0, 0);
    GENERAL_NAMES_free(list);
    return result;
}

/* RFC 7093, method 1: 160 bits of SHA-256 over the public key, which stays
 * the same as long as the key does. */
static int add_key_identifiers(X509 *certificate, X509 *issuer)
{
    ASN1_BIT_STRING *public_key = X509_get0_pubkey_bitstr(certificate);
    ASN1_OCTET_STRING *own = ASN1_OCTET_STRING_new();
    unsigned char digest[EVP_MAX_MD_SIZE];
    int result = own != NULL && public_key != NULL &&
                 EVP_Digest(public_key->data, (size_t)public_key->length, digest, NULL, EVP_sha256(), NULL) == 1 &&
                 ASN1_OCTET_STRING_set(own, digest, 20) == 1 &&
                 X509_add1_ext_i2d(certificate, NID_subject_key_identifier, own, 0, 0) == 1;

    ASN1_OCTET_STRING_free(own);
    if (result && issuer != NULL) {
        const ASN1_OCTET_STRING *theirs = X509_get0_subject_key_id(issuer);
        AUTHORITY_KEYID *identifier = AUTHORITY_KEYID_new();
        result = identifier != NULL;
        if (result && theirs != NULL) {
            identifier->keyid = ASN1_OCTET_STRING_dup(theirs);
            result = identifier->keyid != NULL &&
                     X509_add1_ext_i2d(certificate, NID_authority_key_identifier, identifier, 0, 0) == 1;
        }
        AUTHORITY_KEYID_free(identifier);
    }
    return result;
}

static const EVP_MD *digest_for(EVP_PKEY *key)
{
    const struct curve *curve = curve_of(key);

    return curve != NULL && curve->nid == NID_secp384r1 ? EVP_sha384() : EVP_sha256();
}

X509 *pki_certificate_make(EVP_PKEY *key, const struct pki_request *request, X509 *issuer, EVP_PKEY *issuer_key)
{
    X509 *certificate = X509_new();

    if (certificate == NULL)
        return NULL;
    if (X509_set_version(certificate, X509_VERSION_3) && set_serial(certificate) &&
        ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)request->not_before_s) != NULL &&
        ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)request->not_after_s) != NULL &&
        pki_subject_set(X509_get_subject_name(certificate), request->common_name, request->organization) &&
        X509_set_issuer_name(certificate, X509_get_subject_name(issuer != NULL ? issuer : certificate)) &&
        set_public_key(certificate, key) && add_basic_constraints(certificate, request->authority) &&
        add_key_usage(certificate, key, request->authority) &&
        (request->authority || add_extended_key_usage(certificate, request->usage)) &&
        add_names(certificate, request->names) && add_key_identifiers(certificate, issuer) &&
        X509_sign(certificate, issuer_key, digest_for(issuer_key)) > 0)
        return certificate;
    X509_free(certificate);
    return NULL;
}

X509 *pki_certificate_read(const char *pem, size_t size)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)size);
    X509 *certificate = bio != NULL ? PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL) : NULL;

    BIO_free(bio);
    return certificate;
}

int pki_certificate_write(X509 *certificate, char **pem, size_t *size)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int result = -1;

    if (bio != NULL && PEM_write_bio_X509(bio, certificate) == 1)
        result = bio_take(bio, pem, size);
    BIO_free(bio);
    return result;
}

int64_t pki_time_s(const ASN1_TIME *time)
{
    struct tm parts;

    return ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

char *pki_subject(X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    size_t size;

    if (bio != NULL && X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) > 0)
        bio_take(bio, &text, &size);
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

int pki_certificate_names(X509 *certificate, struct pki_names *names, bool *strange)
{
    int critical;
    GENERAL_NAMES *list = X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, NULL);
    int count = list != NULL ? sk_GENERAL_NAME_num(list) : 0;
    int result = 0;

    memset(names, 0, sizeof *names);
    *strange = list == NULL && critical != -1;
    if (count > 0) {
        names->list = calloc((size_t)count, sizeof *names->list);
        result = names->list != NULL ? 0 : -1;
    }
    for (int i = 0; result == 0 && i < count; i++) {
        if (name_from_general(sk_GENERAL_NAME_value(list, i), &names->list[names->count]))
            names->count++;
        else
            *strange = true;
    }
    GENERAL_NAMES_free(list);
    return result;
}
