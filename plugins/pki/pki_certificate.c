/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates. Extensions are built from structures and never from text, in
 * which a comma of a name would begin a field of its own. */
#include "plugins/pki/pki.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

/* OpenSSL 3's encoder costs ten times a signature, so the two common curves go
 * around it. An authority is asked for its public key later, and only the
 * general way keeps that. */
static int set_public_key(X509 *certificate, EVP_PKEY *key, bool authority)
{
    return !authority && pki_key_is_elliptic(key) ? pki_key_point_set(X509_get_X509_PUBKEY(certificate), key)
                                    : X509_set_pubkey(certificate, key);
}

/* 127 random bits: positive, and never zero. */
static int set_serial(const struct pki_crypto *crypto, X509 *certificate)
{
    unsigned char octets[16];
    BIGNUM *number;
    int result;

    if (RAND_bytes_ex(crypto->library, octets, sizeof octets, 0) != 1)
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

static int add_names(X509 *certificate, const struct pki_names *names)
{
    GENERAL_NAMES *list;
    int result;

    if (names == NULL || names->count == 0)
        return 1;
    list = pki_general_names(names);
    result = list != NULL && X509_add1_ext_i2d(certificate, NID_subject_alt_name, list, 0, 0);
    GENERAL_NAMES_free(list);
    return result;
}

static int add_constraints(X509 *certificate, const NAME_CONSTRAINTS *constraints)
{
    return constraints == NULL || X509_add1_ext_i2d(certificate, NID_name_constraints,
                                                    (void *)(uintptr_t)constraints, 1, 0) == 1;
}

/* RFC 7093, method 1: 160 bits of SHA-256 over the public key, which stays
 * the same as long as the key does. */
static int add_key_identifiers(const struct pki_crypto *crypto, X509 *certificate, X509 *issuer)
{
    ASN1_BIT_STRING *public_key = X509_get0_pubkey_bitstr(certificate);
    ASN1_OCTET_STRING *own = ASN1_OCTET_STRING_new();
    unsigned char digest[EVP_MAX_MD_SIZE];
    int result = own != NULL && public_key != NULL &&
                 EVP_Digest(public_key->data, (size_t)public_key->length, digest, NULL, crypto->sha256, NULL) == 1 &&
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

/* The context of a key that signs again and again is begun anew, not made anew. */
static int sign(struct pki_maker *maker, X509 *certificate, EVP_PKEY *key)
{
    if (maker->sign == NULL && (maker->sign = EVP_MD_CTX_new()) == NULL)
        return 0;
    if (maker->signs_with != key || EVP_DigestSignInit(maker->sign, NULL, NULL, NULL, NULL) != 1) {
        maker->signs_with = NULL;
        EVP_MD_CTX_reset(maker->sign);
        if (EVP_DigestSignInit_ex(maker->sign, NULL, EVP_MD_get0_name(pki_digest_for(maker->crypto, key)),
                                  maker->crypto->library, NULL, key, NULL) != 1)
            return 0;
        maker->signs_with = key;
    }
    return X509_sign_ctx(certificate, maker->sign) > 0;
}

X509 *pki_certificate_make(struct pki_maker *maker, EVP_PKEY *key, const struct pki_issuance *issuance, X509 *issuer,
                           EVP_PKEY *issuer_key)
{
    const struct pki_crypto *crypto = maker->crypto;
    X509 *certificate = X509_new_ex(crypto->library, NULL);

    if (certificate == NULL)
        return NULL;
    if (X509_set_version(certificate, X509_VERSION_3) && set_serial(crypto, certificate) &&
        ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)issuance->not_before_s) != NULL &&
        ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)issuance->not_after_s) != NULL &&
        pki_subject_set(X509_get_subject_name(certificate), issuance->common_name, issuance->organization) &&
        X509_set_issuer_name(certificate, X509_get_subject_name(issuer != NULL ? issuer : certificate)) &&
        set_public_key(certificate, key, issuance->authority) && add_basic_constraints(certificate, issuance->authority) &&
        add_key_usage(certificate, key, issuance->authority) &&
        (issuance->authority || add_extended_key_usage(certificate, issuance->usage)) &&
        add_names(certificate, issuance->names) && add_constraints(certificate, issuance->constraints) &&
        add_key_identifiers(crypto, certificate, issuer) && sign(maker, certificate, issuer_key))
        return certificate;
    X509_free(certificate);
    return NULL;
}

static int no_passphrase(char *buffer, int size, int writing, void *data)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)data;
    return -1;
}

static X509 *read_next(const struct pki_crypto *crypto, BIO *bio)
{
    X509 *certificate = X509_new_ex(crypto->library, NULL);

    if (certificate != NULL && PEM_read_bio_X509(bio, &certificate, no_passphrase, NULL) != NULL)
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

char *pki_subject(X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    size_t size;

    if (bio != NULL && X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) > 0)
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
    NAME_CONSTRAINTS *constraints = X509_get_ext_d2i(authority, NID_name_constraints, NULL, NULL);
    bool allowed = constraints == NULL || NAME_CONSTRAINTS_check(certificate, constraints) == X509_V_OK;

    NAME_CONSTRAINTS_free(constraints);
    return allowed;
}
