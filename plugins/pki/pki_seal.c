/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What replicas share, such as the key that signs service accounts' tokens,
 * goes to one that makes its own keys as a CMS message (RFC 5652, RFC 5083):
 * encrypted with AES-256-GCM under a key that ECDH with the replica's public
 * key gives (RFC 5753, X9.63 with SHA-256, AES key wrap). The public key is
 * that of the certificate that was issued to the replica, not one that the
 * machine tells at that moment. There `openssl cms -decrypt` opens it.
 */
#include "plugins/pki/pki.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include <openssl/cms.h> /* declares PEM_write_bio_CMS only after pem.h */

/* ---- the message ---- */

/* The key that wraps: libcrypto would derive it with SHA-1 otherwise. */
static bool add_recipient(CMS_ContentInfo *message, X509 *certificate)
{
    const unsigned flags = CMS_BINARY | CMS_PARTIAL | CMS_KEY_PARAM | CMS_USE_KEYID;
    CMS_RecipientInfo *recipient = CMS_add1_recipient_cert(message, certificate, flags);
    EVP_PKEY_CTX *context = recipient != NULL ? CMS_RecipientInfo_get0_pkey_ctx(recipient) : NULL;

    return context != NULL && EVP_PKEY_CTX_set_ecdh_kdf_md(context, EVP_sha256()) > 0;
}

int pki_seal_text(const struct pki_crypto *crypto, X509 *certificate, const char *content, size_t size, char **sealed,
                  size_t *sealed_size)
{
    BIO *in = BIO_new_mem_buf(content, (int)size), *out = BIO_new(BIO_s_mem());
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(crypto->library, "AES-256-GCM", NULL);
    CMS_ContentInfo *message = NULL;
    int result = -1;

    if (in == NULL || out == NULL || cipher == NULL)
        goto out;
    message = CMS_encrypt_ex(NULL, NULL, cipher, CMS_BINARY | CMS_PARTIAL, crypto->library, NULL);
    if (message == NULL || !add_recipient(message, certificate) ||
        CMS_final(message, in, NULL, CMS_BINARY | CMS_PARTIAL) != 1 || PEM_write_bio_CMS(out, message) != 1)
        goto out;
    result = pki_bio_take(out, sealed, sealed_size);
out:
    CMS_ContentInfo_free(message);
    EVP_CIPHER_free(cipher);
    BIO_free(out);
    BIO_free(in);
    return result;
}

/* ---- who may have what ---- */

/* What is the operator's own, and what is some replica's, goes to nobody else. */
static int check_shared(const struct pki *pki, struct hactl_call *call, const char *purpose)
{
    size_t which = pki_profile_find(pki, purpose);
    const struct pki_profile *profile = which < pki->profile_count ? &pki->profiles[which] : NULL;

    if (strcmp(purpose, PKI_SERVICE_ACCOUNT) == 0)
        return HACTL_OK;
    if (pki_authority_find(purpose) < pki_authority_count)
        return pki->host->fail(call, HACTL_E_DENIED, "the key of authority %s is given to nobody", purpose);
    if (profile == NULL)
        return pki->host->fail(call, HACTL_E_INVALID, "there is no certificate for \"%s\"", purpose);
    if (profile->of_people)
        return pki->host->fail(call, HACTL_E_DENIED, "the key of %s is the operator's, and goes to no replica",
                               purpose);
    if (profile->scope == PKI_REPLICA)
        return pki->host->fail(call, HACTL_E_DENIED, "each replica has a key for %s of its own, which is not shared",
                               purpose);
    return HACTL_OK;
}

static int read_recipient(const struct pki *pki, struct hactl_call *call, const char *replica, const char *recipient,
                          X509 **out)
{
    char path[4096 + PKI_PATH_SIZE];
    size_t which = pki_profile_find(pki, recipient);
    struct pki_blob blob;
    X509 *certificate;
    int result;

    if (which == pki->profile_count || pki->profiles[which].scope != PKI_REPLICA)
        return pki->host->fail(call, HACTL_E_INVALID,
                               "\"%s\" is no certificate of a replica, so nothing can be sealed to it", recipient);
    result = pki_credential_read(pki, call, replica, recipient, "certificate", &blob, path);
    if (result != HACTL_OK)
        return result;
    certificate = pki_certificate_read(pki_crypto(pki), blob.content, blob.size);
    pki_blob_free(&blob);
    if (certificate != NULL && pki_key_curve(X509_get0_pubkey(certificate)) != NULL) {
        *out = certificate;
        return HACTL_OK;
    }
    result =
        pki->host->fail(call, certificate == NULL ? HACTL_E_CONFLICT : HACTL_E_UNSUPPORTED, "%s %s", path,
                        certificate == NULL ? "is no certificate"
                                            : "is for an RSA key: what replicas share is sealed to ECDSA keys only");
    X509_free(certificate);
    return result;
}

int pki_seal(void *self, struct hactl_call *call, const char *purpose, const char *part, const char *replica,
             const char *recipient)
{
    const struct pki *pki = self;
    char path[4096 + PKI_PATH_SIZE], *sealed = NULL;
    struct hactl_credential record = {.struct_size = sizeof record};
    struct pki_blob blob = {0};
    X509 *certificate = NULL;
    int result = check_shared(pki, call, purpose);

    if (result == HACTL_OK)
        result = read_recipient(pki, call, replica, recipient, &certificate);
    if (result == HACTL_OK)
        result = pki_credential_read(pki, call, NULL, purpose, part, &blob, path);
    if (result == HACTL_OK &&
        pki_seal_text(pki_crypto(pki), certificate, blob.content, blob.size, &sealed, &record.content_size) != 0)
        result = pki->host->fail(call, HACTL_E_INTERNAL, "%s of %s could not be sealed to %s of replica %s: %s", part,
                                 purpose, recipient, replica, pki_crypto_error());
    record.content = sealed;
    if (result == HACTL_OK)
        result = pki->host->emit_credential(call, &record);
    pki_blob_free(&blob);
    X509_free(certificate);
    free(sealed);
    return result;
}
