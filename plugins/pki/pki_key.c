/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL 3's encoders and decoders cost ten times a signature, so keys on
 * the two common curves go around them: their PKCS#8 is a fixed frame. What
 * does not fit the frame takes the general way. */
#include "plugins/pki/pki.h"

#include "lib/file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>

/* RFC 5958 around RFC 5915 without parameters: head, private value, middle,
 * uncompressed point. */
struct pki_curve {
    const char *key_type;
    const char *group;
    int nid;
    size_t field_size;
    size_t head_size;
    unsigned char head[40];
    unsigned char middle[5];
    size_t public_head_size; /* of SubjectPublicKeyInfo, before the point */
    unsigned char public_head[32];
};

static const struct pki_curve curves[] = {
    {"ecdsa-p256",
     "P-256",
     NID_X9_62_prime256v1,
     32,
     36,
     {0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
      0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20},
     {0xa1, 0x44, 0x03, 0x42, 0x00},
     26,
     {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
      0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00}},
    {"ecdsa-p384",
     "P-384",
     NID_secp384r1,
     48,
     35,
     {0x30, 0x81, 0xb6, 0x02, 0x01, 0x00, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
      0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x04, 0x81, 0x9e, 0x30, 0x81, 0x9b, 0x02, 0x01, 0x01, 0x04, 0x30},
     {0xa1, 0x64, 0x03, 0x62, 0x00},
     23,
     {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
      0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00}},
};

#define CURVE_COUNT (sizeof curves / sizeof curves[0])
#define FRAME_MAX   200

static size_t point_size(const struct pki_curve *curve)
{
    return 2 * curve->field_size + 1;
}

static size_t frame_size(const struct pki_curve *curve)
{
    return curve->head_size + curve->field_size + sizeof curve->middle + point_size(curve);
}

const struct pki_curve *pki_key_curve(EVP_PKEY *key)
{
    char group[64];
    int nid;

    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC || EVP_PKEY_get_group_name(key, group, sizeof group, NULL) != 1)
        return NULL;
    nid = OBJ_txt2nid(group);
    for (size_t i = 0; i < CURVE_COUNT; i++)
        if (nid == curves[i].nid || strcmp(group, curves[i].group) == 0)
            return &curves[i];
    return NULL;
}

/* ---- what makes them ---- */

void pki_maker_open(struct pki_maker *maker, const struct pki_crypto *crypto)
{
    *maker = (struct pki_maker){.crypto = crypto};
}

void pki_maker_close(struct pki_maker *maker)
{
    EVP_PKEY_CTX_free(maker->generate);
    EVP_PKEY_free(maker->subject.key);
    for (size_t i = 0; i < PKI_SIGNERS; i++) {
        EVP_MD_CTX_free(maker->signers[i].context);
        EVP_PKEY_free(maker->signers[i].key);
    }
    *maker = (struct pki_maker){.crypto = NULL};
}

/* ---- keys ---- */

static const struct {
    const char *key_type;
    unsigned bits;
} rsa_types[] = {{"rsa-2048", 2048}, {"rsa-3072", 3072}, {"rsa-4096", 4096}};

#define RSA_TYPE_COUNT (sizeof rsa_types / sizeof rsa_types[0])

static EVP_PKEY_CTX *generation(const struct pki_crypto *crypto, const char *key_type)
{
    EVP_PKEY_CTX *context = NULL;
    bool good = false;

    for (size_t i = 0; context == NULL && i < CURVE_COUNT; i++)
        if (strcmp(key_type, curves[i].key_type) == 0) {
            context = EVP_PKEY_CTX_new_from_name(crypto->library, "EC", NULL);
            good = context != NULL && EVP_PKEY_keygen_init(context) == 1 &&
                   EVP_PKEY_CTX_set_group_name(context, curves[i].group) == 1;
        }
    for (size_t i = 0; context == NULL && i < RSA_TYPE_COUNT; i++)
        if (strcmp(key_type, rsa_types[i].key_type) == 0) {
            context = EVP_PKEY_CTX_new_from_name(crypto->library, "RSA", NULL);
            good = context != NULL && EVP_PKEY_keygen_init(context) == 1 &&
                   EVP_PKEY_CTX_set_rsa_keygen_bits(context, (int)rsa_types[i].bits) == 1;
        }
    if (good)
        return context;
    EVP_PKEY_CTX_free(context);
    return NULL;
}

/* A context that is used again makes a key in half the time of a new one. */
EVP_PKEY *pki_key_generate(struct pki_maker *maker, const char *key_type)
{
    EVP_PKEY *key = NULL;

    if (maker->generate == NULL || strcmp(maker->generates, key_type) != 0) {
        EVP_PKEY_CTX_free(maker->generate);
        maker->generate = generation(maker->crypto, key_type);
        maker->generates = key_type;
    }
    if (maker->generate == NULL || EVP_PKEY_generate(maker->generate, &key) != 1)
        return NULL;
    return key;
}

const char *pki_key_type(EVP_PKEY *key)
{
    const struct pki_curve *curve = pki_key_curve(key);

    if (curve != NULL)
        return curve->key_type;
    for (size_t i = 0; EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && i < RSA_TYPE_COUNT; i++)
        if (EVP_PKEY_get_bits(key) == (int)rsa_types[i].bits)
            return rsa_types[i].key_type;
    return NULL;
}

bool pki_key_has_type(EVP_PKEY *key, const char *key_type)
{
    const char *type = pki_key_type(key);

    return type != NULL && strcmp(type, key_type) == 0;
}

static size_t key_point(EVP_PKEY *key, unsigned char *point, size_t size)
{
    size_t length = 0;

    if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, size, &length) != 1)
        return 0;
    return length;
}

/* ---- public halves ---- */

bool pki_public_take(struct pki_public *half, EVP_PKEY *key)
{
    if (half->key == key)
        return true;
    EVP_PKEY_free(half->key);
    *half = (struct pki_public){.curve = pki_key_curve(key)};
    if (half->curve != NULL)
        half->point_size = key_point(key, half->point, sizeof half->point);
    if ((half->curve != NULL && half->point_size != point_size(half->curve)) || EVP_PKEY_up_ref(key) != 1)
        return false;
    half->key = key;
    return true;
}

const unsigned char *pki_public_head(const struct pki_public *half, size_t *size)
{
    *size = half->curve != NULL ? half->curve->public_head_size : 0;
    return half->curve != NULL ? half->curve->public_head : NULL;
}

const EVP_MD *pki_curve_digest(const struct pki_crypto *crypto, const struct pki_curve *curve)
{
    return curve != NULL && curve->nid == NID_secp384r1 ? crypto->sha384 : crypto->sha256;
}

/* ---- private keys in PKCS#8 ---- */

static size_t frame_write(EVP_PKEY *key, const struct pki_public *half, unsigned char frame[FRAME_MAX])
{
    const struct pki_curve *curve = half->curve;
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
    memcpy(at, half->point, half->point_size);
    written = frame_size(curve);
out:
    BN_clear_free(private_value);
    return written;
}

/* libcrypto's pairwise check of an RSA key tests its primes, for 50 ms: what the private half signs, the public one has
 * to verify, in one. */
static bool signs_for_itself(const struct pki_crypto *crypto, EVP_PKEY *key)
{
    static const unsigned char text[] = "hactl";
    unsigned char signature[1024]; /* of RSA-8192 */
    size_t size = sizeof signature;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context != NULL && EVP_PKEY_get_size(key) <= (int)sizeof signature &&
                EVP_DigestSignInit_ex(context, NULL, "SHA256", crypto->library, NULL, key, NULL) == 1 &&
                EVP_DigestSign(context, signature, &size, text, sizeof text) == 1 && EVP_MD_CTX_reset(context) == 1 &&
                EVP_DigestVerifyInit_ex(context, NULL, "SHA256", crypto->library, NULL, key, NULL) == 1 &&
                EVP_DigestVerify(context, signature, size, text, sizeof text) == 1;

    EVP_MD_CTX_free(context);
    return good;
}

static bool halves_match(const struct pki_crypto *crypto, EVP_PKEY *key)
{
    EVP_PKEY_CTX *check;
    bool good;

    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
        return signs_for_itself(crypto, key);
    check = EVP_PKEY_CTX_new_from_pkey(crypto->library, key, NULL);
    good = check != NULL && EVP_PKEY_pairwise_check(check) == 1;
    EVP_PKEY_CTX_free(check);
    return good;
}

static EVP_PKEY *key_from_parts(const struct pki_crypto *crypto, const struct pki_curve *curve,
                                const unsigned char *value, const unsigned char *point)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(crypto->library, "EC", NULL);
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
    if (!halves_match(crypto, key)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
out:
    OSSL_PARAM_free(parameters);
    BN_clear_free(number);
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_BLD_free(build);
    return key;
}

static EVP_PKEY *frame_read(const struct pki_crypto *crypto, const unsigned char *frame, size_t size, bool *fits)
{
    for (size_t i = 0; i < CURVE_COUNT; i++) {
        const struct pki_curve *curve = &curves[i];
        const unsigned char *value = frame + curve->head_size, *middle = value + curve->field_size;
        if (size != frame_size(curve) || memcmp(frame, curve->head, curve->head_size) != 0 ||
            memcmp(middle, curve->middle, sizeof curve->middle) != 0)
            continue;
        *fits = true;
        return key_from_parts(crypto, curve, value, middle + sizeof curve->middle);
    }
    return NULL;
}

/* Without this libcrypto would ask on the terminal for a pass phrase. */
static int give_passphrase(char *buffer, int size, int writing, void *data)
{
    size_t length = data != NULL ? strlen(data) : 0;

    (void)writing;
    if (length == 0 || length > (size_t)size)
        return -1;
    memcpy(buffer, data, length);
    return (int)length;
}

static EVP_PKEY *key_read_general(const struct pki_crypto *crypto, const char *pem, size_t size, const char *passphrase)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)size);
    EVP_PKEY *key = NULL;

    if (bio != NULL)
        key = PEM_read_bio_PrivateKey_ex(bio, NULL, give_passphrase, (void *)(uintptr_t)passphrase, crypto->library,
                                         NULL);
    BIO_free(bio);
    if (key == NULL || halves_match(crypto, key))
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

bool pki_key_is_sealed(const char *pem)
{
    return strstr(pem, "-----BEGIN ENCRYPTED PRIVATE KEY-----") != NULL ||
           strstr(pem, "Proc-Type: 4,ENCRYPTED") != NULL;
}

EVP_PKEY *pki_key_read(const struct pki_crypto *crypto, const char *pem, size_t size, const char *passphrase)
{
    BIO *bio = size <= INT_MAX ? BIO_new_mem_buf(pem, (int)size) : NULL;
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long length = 0;
    bool fits = false;
    EVP_PKEY *key = NULL;

    if (bio != NULL && PEM_read_bio(bio, &name, &header, &der, &length) == 1 && strcmp(name, "PRIVATE KEY") == 0)
        key = frame_read(crypto, der, (size_t)length, &fits);
    if (!fits && bio != NULL)
        key = key_read_general(crypto, pem, size, passphrase);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(der, (size_t)length);
    BIO_free(bio);
    return key;
}

static int take(BIO *bio, bool secret, char **text, size_t *size)
{
    char *data;
    long length = BIO_get_mem_data(bio, &data);
    size_t room = length > 0 ? (size_t)length + 1 : 0;

    *text = room == 0 ? NULL : secret ? pki_secret_new(room) : malloc(room);
    if (*text == NULL)
        return -1;
    memcpy(*text, data, (size_t)length);
    (*text)[length] = '\0';
    *size = (size_t)length;
    return 0;
}

int pki_bio_take(BIO *bio, char **text, size_t *size)
{
    return take(bio, false, text, size);
}

/* 600,000 rounds of PBKDF2, as OWASP asks for; scrypt would be no better known
 * to those who must read it. */
#define PASSPHRASE_ROUNDS 600000

static int write_sealed(const struct pki_crypto *crypto, BIO *bio, EVP_PKEY *key, const char *passphrase)
{
    PKCS8_PRIV_KEY_INFO *plain = EVP_PKEY2PKCS8(key);
    X509_SIG *sealed = NULL;
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(crypto->library, "AES-256-CBC", NULL);
    X509_ALGOR *algorithm = NULL;
    int result = 0;

    if (plain == NULL || cipher == NULL)
        goto out;
    algorithm = PKCS5_pbe2_set_iv_ex(cipher, PASSPHRASE_ROUNDS, NULL, 16, NULL, NID_hmacWithSHA256, crypto->library);
    if (algorithm == NULL)
        goto out;
    sealed = PKCS8_set0_pbe_ex(passphrase, (int)strlen(passphrase), plain, algorithm, crypto->library, NULL);
    if (sealed == NULL)
        goto out;
    algorithm = NULL; /* handed over */
    result = PEM_write_bio_PKCS8(bio, sealed);
out:
    X509_ALGOR_free(algorithm);
    X509_SIG_free(sealed);
    EVP_CIPHER_free(cipher);
    PKCS8_PRIV_KEY_INFO_free(plain);
    return result;
}

static int write_plain(BIO *bio, EVP_PKEY *key)
{
    PKCS8_PRIV_KEY_INFO *plain = EVP_PKEY2PKCS8(key);
    int result = plain != NULL ? PEM_write_bio_PKCS8_PRIV_KEY_INFO(bio, plain) : 0;

    PKCS8_PRIV_KEY_INFO_free(plain);
    return result;
}

static char *frame_text(EVP_PKEY *key, const struct pki_public *half, size_t *size)
{
    unsigned char frame[FRAME_MAX];
    size_t length = frame_write(key, half, frame);
    char *text = length > 0 ? pki_secret_pem("PRIVATE KEY", frame, length, size) : NULL;

    OPENSSL_cleanse(frame, sizeof frame);
    return text;
}

static int key_write(const struct pki_crypto *crypto, EVP_PKEY *key, const struct pki_public *half,
                     const char *passphrase, char **pem, size_t *size)
{
    BIO *bio;
    int result = -1;

    if (passphrase == NULL && half->curve != NULL) {
        *pem = frame_text(key, half, size);
        return *pem != NULL ? 0 : -1;
    }
    bio = BIO_new(BIO_s_secmem());
    if (bio != NULL && (passphrase != NULL ? write_sealed(crypto, bio, key, passphrase) : write_plain(bio, key)) > 0)
        result = take(bio, true, pem, size);
    BIO_free(bio);
    return result;
}

int pki_key_write(const struct pki_crypto *crypto, EVP_PKEY *key, const char *passphrase, char **pem, size_t *size)
{
    struct pki_public half = {.key = NULL};
    int result = pki_public_take(&half, key) ? key_write(crypto, key, &half, passphrase, pem, size) : -1;

    EVP_PKEY_free(half.key);
    return result;
}

int pki_maker_key_write(const struct pki_maker *maker, EVP_PKEY *key, const char *passphrase, char **pem, size_t *size)
{
    if (maker->subject.key == key)
        return key_write(maker->crypto, key, &maker->subject, passphrase, pem, size);
    return pki_key_write(maker->crypto, key, passphrase, pem, size);
}

/* ---- public keys ---- */

int pki_public_key_write(EVP_PKEY *key, char **pem, size_t *size)
{
    unsigned char der[32 + PKI_POINT_MAX];
    const struct pki_curve *curve = pki_key_curve(key);
    BIO *bio;
    int result = -1;

    if (curve != NULL) {
        memcpy(der, curve->public_head, curve->public_head_size);
        if (key_point(key, der + curve->public_head_size, PKI_POINT_MAX) != point_size(curve))
            return -1;
        *pem = pki_pem("PUBLIC KEY", der, curve->public_head_size + point_size(curve), size);
        return *pem != NULL ? 0 : -1;
    }
    bio = BIO_new(BIO_s_mem());
    if (bio != NULL && PEM_write_bio_PUBKEY(bio, key) == 1)
        result = pki_bio_take(bio, pem, size);
    BIO_free(bio);
    return result;
}

EVP_PKEY *pki_public_key_read(const struct pki_crypto *crypto, const char *pem, size_t size)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)size);
    EVP_PKEY *key = NULL;

    if (bio != NULL)
        key = PEM_read_bio_PUBKEY_ex(bio, NULL, give_passphrase, NULL, crypto->library, NULL);
    BIO_free(bio);
    return key;
}

const EVP_MD *pki_digest_for(const struct pki_crypto *crypto, EVP_PKEY *key)
{
    return pki_curve_digest(crypto, pki_key_curve(key));
}

/* ---- the pass phrase of authorities' keys ---- */

static int read_passphrase(const struct pki *pki, struct hactl_call *call, int fd, const char *from, char **out)
{
    char line[1024];
    size_t used = 0;
    ssize_t got;

    while (used < sizeof line - 1 && (got = read(fd, line + used, sizeof line - 1 - used)) > 0)
        used += (size_t)got;
    line[used] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    *out = line[0] != '\0' ? strdup(line) : NULL;
    OPENSSL_cleanse(line, sizeof line);
    return *out != NULL ? HACTL_OK
                        : pki->host->fail(call, HACTL_E_INVALID,
                                          "%s: the first line of it is to be the pass phrase of the authorities' keys, "
                                          "and there is none",
                                          from);
}

int pki_passphrase(struct pki *pki, struct hactl_call *call, const char **out)
{
    char from[64];
    int fd, result;

    *out = pki->passphrase;
    if (pki->passphrase != NULL || (pki->passphrase_file == NULL && pki->passphrase_fd < 0))
        return HACTL_OK;
    snprintf(from, sizeof from, "descriptor %d", pki->passphrase_fd);
    fd = pki->passphrase_file != NULL ? open(pki->passphrase_file, O_RDONLY | O_CLOEXEC | O_NOCTTY)
                                      : fcntl(pki->passphrase_fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return pki->host->fail(call, HACTL_E_DENIED, "%s: the pass phrase cannot be read: %m",
                               pki->passphrase_file != NULL ? pki->passphrase_file : from);
    result =
        read_passphrase(pki, call, fd, pki->passphrase_file != NULL ? pki->passphrase_file : from, &pki->passphrase);
    close(fd);
    *out = pki->passphrase;
    return result;
}
