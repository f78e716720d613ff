/* SPDX-License-Identifier: Apache-2.0 */
/* What certificates there are, as data. File names, common names and
 * organizations are kubeadm's, so that its tools and habits fit: a replica's
 * directory is /etc/kubernetes of that replica. The configuration changes
 * these profiles and adds others. */
#include "plugins/pki/pki.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* etcd has one authority for its members among themselves and another for its
 * clients: a client's certificate must never let anybody in as a member. */
const struct pki_authority_profile pki_authorities[] = {
    {"kubernetes-ca", "ca", "kubernetes"},
    {"etcd-ca", "etcd/ca", "etcd-ca"},
    {"etcd-peer-ca", "etcd/peer-ca", "etcd-peer-ca"},
    {"front-proxy-ca", "front-proxy-ca", "front-proxy-ca"},
};
const size_t pki_authority_count = sizeof pki_authorities / sizeof pki_authorities[0];

#define BETWEEN (PKI_NAME_REPLICA | PKI_NAME_INTERNAL | PKI_NAME_LOOPBACK)
/* What the public endpoint fronts: etcd's client port while there is no
 * Kubernetes, the API server's afterwards. */
#define FRONTED (BETWEEN | PKI_NAME_EXTERNAL | PKI_NAME_EXTRA)
#define BOTH    (PKI_SERVER | PKI_CLIENT)
/* The group that the API server asks no rule for: who has it can be stopped by
 * the end of the certificate only, so that end is near. */
#define UNLIMITED "system:masters"

/* An etcd server is a client too: its gateway dials the server itself with
 * the server's certificate (etcd-io/etcd#9785). */
static const struct pki_profile builtin[] = {
    {.purpose = "etcd-client",
     .authority = "etcd-ca",
     .of_people = true,
     .file = "operator/etcd-client",
     .common_name = "hactl-operator",
     .usage = PKI_CLIENT},
    {.purpose = "etcd-server",
     .authority = "etcd-ca",
     .scope = PKI_REPLICA,
     .file = "pki/etcd/server",
     .usage = BOTH,
     .names = FRONTED},
    {.purpose = "etcd-peer",
     .authority = "etcd-peer-ca",
     .scope = PKI_REPLICA,
     .file = "pki/etcd/peer",
     .usage = BOTH,
     .names = BETWEEN},
    {.purpose = "etcd-healthcheck-client",
     .authority = "etcd-ca",
     .scope = PKI_REPLICA,
     .file = "pki/etcd/healthcheck-client",
     .common_name = "kube-etcd-healthcheck-client",
     .usage = PKI_CLIENT},
    {.purpose = "kube-apiserver",
     .authority = "kubernetes-ca",
     .scope = PKI_REPLICA,
     .file = "pki/apiserver",
     .common_name = "kube-apiserver",
     .usage = PKI_SERVER,
     .names = FRONTED | PKI_NAME_SERVICE},
    {.purpose = "apiserver-kubelet-client",
     .authority = "kubernetes-ca",
     .scope = PKI_REPLICA,
     .file = "pki/apiserver-kubelet-client",
     .common_name = "kube-apiserver-kubelet-client",
     .organization = "kubeadm:cluster-admins",
     .usage = PKI_CLIENT},
    {.purpose = "apiserver-etcd-client",
     .authority = "etcd-ca",
     .scope = PKI_REPLICA,
     .file = "pki/apiserver-etcd-client",
     .common_name = "kube-apiserver-etcd-client",
     .usage = PKI_CLIENT},
    {.purpose = "front-proxy-client",
     .authority = "front-proxy-ca",
     .scope = PKI_REPLICA,
     .file = "pki/front-proxy-client",
     .common_name = "front-proxy-client",
     .usage = PKI_CLIENT},
    {.purpose = "admin",
     .authority = "kubernetes-ca",
     .scope = PKI_REPLICA,
     .form = PKI_KUBECONFIG,
     .of_people = true,
     .file = "admin",
     .common_name = "kubernetes-admin",
     .organization = "kubeadm:cluster-admins",
     .usage = PKI_CLIENT},
    {.purpose = "super-admin",
     .authority = "kubernetes-ca",
     .scope = PKI_REPLICA,
     .form = PKI_KUBECONFIG,
     .of_people = true,
     .file = "super-admin",
     .common_name = "kubernetes-super-admin",
     .organization = UNLIMITED,
     .usage = PKI_CLIENT,
     .life_s = 30 * PKI_DAY_S},
    {.purpose = "controller-manager",
     .authority = "kubernetes-ca",
     .scope = PKI_REPLICA,
     .form = PKI_KUBECONFIG,
     .file = "controller-manager",
     .common_name = "system:kube-controller-manager",
     .usage = PKI_CLIENT,
     .server = PKI_SERVER_LOCAL},
    {.purpose = "scheduler",
     .authority = "kubernetes-ca",
     .scope = PKI_REPLICA,
     .form = PKI_KUBECONFIG,
     .file = "scheduler",
     .common_name = "system:kube-scheduler",
     .usage = PKI_CLIENT,
     .server = PKI_SERVER_LOCAL},
    {.purpose = "kubelet",
     .authority = "kubernetes-ca",
     .scope = PKI_REPLICA,
     .form = PKI_KUBECONFIG,
     .file = "kubelet",
     .common_name = "system:node:%s",
     .organization = "system:nodes",
     .usage = PKI_CLIENT},
};

#define BUILTIN_COUNT (sizeof builtin / sizeof builtin[0])

size_t pki_authority_find(const char *purpose)
{
    size_t i = 0;

    while (i < pki_authority_count && strcmp(pki_authorities[i].purpose, purpose) != 0)
        i++;
    return i;
}

size_t pki_profile_find(const struct pki *pki, const char *purpose)
{
    size_t i = 0;

    while (i < pki->profile_count && strcmp(pki->profiles[i].purpose, purpose) != 0)
        i++;
    return i;
}

bool pki_authority_used(const struct pki *pki, const struct pki_authority_profile *authority)
{
    return !pki->single_etcd || strcmp(authority->purpose, "etcd-peer-ca") != 0;
}

const char *pki_profile_key_type(const struct pki *pki, const struct pki_profile *profile)
{
    return profile->key_type != NULL ? profile->key_type : pki->key_type;
}

int64_t pki_profile_life_s(const struct pki *pki, const struct pki_profile *profile)
{
    return profile->life_s > 0 ? profile->life_s : pki->leaf_s;
}

int64_t pki_profile_renew_s(const struct pki *pki, const struct pki_profile *profile)
{
    return profile->life_s > 0 ? profile->life_s / 3 : pki->renew_s;
}

/* ---- the user's own ---- */

/* One profile of the configuration while it is read. */
struct reading {
    struct pki *pki;
    const struct hactl_conf *conf;
    struct hactl_call *call;
    const char *purpose;
    struct pki_profile *profile;
    bool days; /* its life is told */
};

static const char *key_of(const struct reading *reading, const char *name, char key[200])
{
    snprintf(key, 200, "profiles.%s.%s", reading->purpose, name);
    return key;
}

static int out_of_memory(const struct reading *reading)
{
    return reading->pki->host->fail(reading->call, HACTL_E_INTERNAL, "out of memory");
}

/* Keeps a copy in the profile; `*out` stays as it is when nothing is said. */
static int take_string(const struct reading *reading, const char *name, unsigned slot, const char **out)
{
    char key[200];
    const char *value = reading->pki->host->conf_string(reading->conf, key_of(reading, name, key));

    if (value == NULL)
        return HACTL_OK;
    reading->profile->owned[slot] = strdup(value);
    if (reading->profile->owned[slot] == NULL)
        return out_of_memory(reading);
    *out = reading->profile->owned[slot];
    return HACTL_OK;
}

static const struct {
    const char *word;
    unsigned flag;
} name_words[] = {{"@replica", PKI_NAME_REPLICA},   {"@internal", PKI_NAME_INTERNAL}, {"@external", PKI_NAME_EXTERNAL},
                  {"@loopback", PKI_NAME_LOOPBACK}, {"@service", PKI_NAME_SERVICE},   {"@extra", PKI_NAME_EXTRA}};

static int take_usage(const struct reading *reading)
{
    char key[200];
    unsigned usage = 0;
    const char *word;

    key_of(reading, "usage", key);
    for (size_t i = 0; (word = reading->pki->host->conf_list(reading->conf, key, i)) != NULL; i++) {
        unsigned flag = strcmp(word, "server") == 0 ? PKI_SERVER : strcmp(word, "client") == 0 ? PKI_CLIENT : 0;
        if (flag == 0)
            return reading->pki->host->fail(reading->call, HACTL_E_INVALID, "%s: \"%s\" is neither server nor client",
                                            key, word);
        usage |= flag;
    }
    if (usage != 0)
        reading->profile->usage = usage;
    return HACTL_OK;
}

static unsigned name_flag(const char *word)
{
    for (size_t i = 0; i < sizeof name_words / sizeof name_words[0]; i++)
        if (strcmp(word, name_words[i].word) == 0)
            return name_words[i].flag;
    return 0;
}

static int take_names(const struct reading *reading)
{
    const struct hactl_host *host = reading->pki->host;
    struct pki_profile *profile = reading->profile;
    char key[200];
    size_t count = 0, own = 0;

    key_of(reading, "names", key);
    while (host->conf_list(reading->conf, key, count) != NULL)
        count++;
    if (count == 0)
        return HACTL_OK;
    profile->names = 0;
    profile->more_names = calloc(count + 1, sizeof *profile->more_names);
    if (profile->more_names == NULL)
        return out_of_memory(reading);
    for (size_t i = 0; i < count; i++) {
        const char *word = host->conf_list(reading->conf, key, i);
        unsigned flag = name_flag(word);
        char shown[PKI_SHOWN_SIZE];
        struct pki_name name;
        profile->names |= flag;
        if (flag != 0)
            continue;
        if (!pki_name_parse(word, &name))
            return host->fail(reading->call, HACTL_E_INVALID,
                              "%s: \"%s\" is neither a name or an address nor one of @replica, @internal, "
                              "@external, @loopback, @service and @extra",
                              key, pki_shown(word, shown));
        if ((profile->more_names[own++] = strdup(word)) == NULL)
            return out_of_memory(reading);
    }
    return HACTL_OK;
}

static int take_choices(struct reading *reading)
{
    const struct hactl_host *host = reading->pki->host;
    struct pki_profile *profile = reading->profile;
    char key[200];
    const char *scope = host->conf_string(reading->conf, key_of(reading, "scope", key));
    const char *form = host->conf_string(reading->conf, key_of(reading, "form", key));
    const char *server = host->conf_string(reading->conf, key_of(reading, "server", key));
    int64_t days = host->conf_integer(reading->conf, key_of(reading, "days", key));

    if (scope != NULL)
        profile->scope = strcmp(scope, "replica") == 0 ? PKI_REPLICA : PKI_CLUSTER;
    if (form != NULL)
        profile->form = strcmp(form, "kubeconfig") == 0 ? PKI_KUBECONFIG
                        : strcmp(form, "request") == 0  ? PKI_SIGN_ONLY
                                                        : PKI_PAIR;
    if (server != NULL)
        profile->server = strcmp(server, "local") == 0 ? PKI_SERVER_LOCAL : PKI_SERVER_ENDPOINT;
    if (days > 0)
        profile->life_s = days * PKI_DAY_S;
    reading->days = days > 0;
    return HACTL_OK;
}

static int check_life(const struct reading *reading)
{
    const struct pki_profile *profile = reading->profile;
    const struct pki *pki = reading->pki;

    if (!reading->days || profile->life_s <= pki->leaf_s || profile->organization == NULL ||
        strcmp(profile->organization, UNLIMITED) != 0)
        return HACTL_OK;
    return pki->host->fail(reading->call, HACTL_E_INVALID,
                           "profiles.%s.days is %lld, and leaf_days %lld: who has the group " UNLIMITED
                           " can be stopped by the end of the certificate only, so it lives no longer than others",
                           profile->purpose, (long long)(profile->life_s / PKI_DAY_S),
                           (long long)(pki->leaf_s / PKI_DAY_S));
}

/* Is a directory in it called as a file might be? */
static bool goes_through_file(const char *file)
{
    static const char *const endings[] = {".crt", ".key", ".conf", ".csr", ".pub", ".crl", PKI_ROTATION, ".log"};

    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        for (const char *at = file; (at = strstr(at, endings[i])) != NULL; at++)
            if (at[strlen(endings[i])] == '/')
                return true;
    return false;
}

static bool file_is_sound(const char *file)
{
    size_t length = strlen(file);

    return length > 0 && length < 200 && file[0] != '/' && file[length - 1] != '/' && strstr(file, "//") == NULL &&
           strspn(file, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == length &&
           file[0] != '.' && strstr(file, "/.") == NULL && !goes_through_file(file);
}

/* What a certificate, and a log, can say. */
static bool is_text(const char *text)
{
    size_t left = strlen(text);
    unsigned long character;

    while (left > 0) {
        int length = UTF8_getc((const unsigned char *)text, (int)left, &character);
        if (length <= 0 || character < 0x20 || (character >= 0x7f && character < 0xa0))
            return false;
        text += length;
        left -= (size_t)length;
    }
    return true;
}

static int check_profile(const struct reading *reading)
{
    const struct hactl_host *host = reading->pki->host;
    const struct pki_profile *profile = reading->profile;
    const char *common_name = profile->common_name != NULL ? profile->common_name : "%s", *mark;

    if (pki_authority_find(profile->authority) == pki_authority_count)
        return host->fail(reading->call, HACTL_E_INVALID,
                          "profiles.%s.authority: there is no authority \"%.60s\"; there are kubernetes-ca, etcd-ca, "
                          "etcd-peer-ca and front-proxy-ca",
                          profile->purpose, profile->authority);
    if (profile->form == PKI_SIGN_ONLY && profile->file == NULL)
        reading->profile->file = profile->purpose; /* of no consequence */
    if (profile->file == NULL || !file_is_sound(profile->file))
        return host->fail(reading->call, HACTL_E_INVALID,
                          "profiles.%s.file: a path below the directory of its scope is needed, without .crt or .key, "
                          "of letters, digits, - _ . and /, such as \"pki/%s\"",
                          profile->purpose, profile->purpose);
    if (profile->usage == 0)
        return host->fail(reading->call, HACTL_E_INVALID, "profiles.%s.usage is missing: server, client or both",
                          profile->purpose);
    mark = strchr(common_name, '%');
    if (strlen(common_name) > 64 || common_name[0] == '\0' ||
        (mark != NULL && (mark[1] != 's' || strchr(mark + 1, '%') != NULL || profile->scope == PKI_CLUSTER)))
        return host->fail(reading->call, HACTL_E_INVALID,
                          "profiles.%s.common_name: it has 1 to 64 characters, and %%s at most once, for the name of "
                          "the replica; a certificate of the cluster needs one without",
                          profile->purpose);
    if (pki_is_address(common_name))
        return host->fail(
            reading->call, HACTL_E_INVALID,
            "profiles.%s.common_name: %s is an address, which nobody looks for there: it belongs to names",
            profile->purpose, common_name);
    if (profile->form == PKI_KUBECONFIG && strpbrk(common_name, "\"\\\n\r\t") != NULL)
        return host->fail(reading->call, HACTL_E_INVALID,
                          "profiles.%s.common_name: the user of a kubeconfig has no quotes and backslashes in its name",
                          profile->purpose);
    if (!is_text(common_name))
        return host->fail(reading->call, HACTL_E_INVALID,
                          "profiles.%s.common_name: it is UTF-8, without line breaks and other control characters",
                          profile->purpose);
    if (profile->organization != NULL &&
        (profile->organization[0] == '\0' || strlen(profile->organization) > 64 || !is_text(profile->organization)))
        return host->fail(reading->call, HACTL_E_INVALID,
                          "profiles.%s.organization: it has 1 to 64 characters of UTF-8, without line breaks and other "
                          "control characters",
                          profile->purpose);
    if ((profile->usage & PKI_SERVER) != 0 && profile->names == 0 &&
        (profile->more_names == NULL || profile->more_names[0] == NULL))
        return host->fail(reading->call, HACTL_E_INVALID,
                          "profiles.%s.names is missing: a server without names is trusted by nobody",
                          profile->purpose);
    return HACTL_OK;
}

static int read_profile(struct reading *reading)
{
    struct pki_profile *profile = reading->profile;
    int result = take_string(reading, "authority", 0, &profile->authority);

    if (result == HACTL_OK)
        result = take_string(reading, "file", 1, &profile->file);
    if (result == HACTL_OK)
        result = take_string(reading, "common_name", 2, &profile->common_name);
    if (result == HACTL_OK)
        result = take_string(reading, "organization", 3, &profile->organization);
    if (result == HACTL_OK)
        result = take_string(reading, "key_type", 4, &profile->key_type);
    if (result == HACTL_OK)
        result = take_usage(reading);
    if (result == HACTL_OK)
        result = take_names(reading);
    if (result == HACTL_OK)
        result = take_choices(reading);
    if (result == HACTL_OK)
        result = check_profile(reading);
    return result == HACTL_OK ? check_life(reading) : result;
}

/* ---- files ---- */

static bool is_below(const char *file, const char *directory)
{
    size_t length = strlen(directory);

    return strncmp(file, directory, length) == 0 && file[length] == '/';
}

/* That base, or what a rotation puts beside it. */
static bool is_beside(const char *base, const char *of)
{
    static const char *const sides[] = {"", ".next", ".previous", "-bundle"};
    size_t length = strlen(of);

    if (strncmp(base, of, length) != 0)
        return false;
    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++)
        if (strcmp(base + length, sides[i]) == 0)
            return true;
    return false;
}

/* Is it where hactl keeps an authority, the service accounts' key, or copies of them? */
static bool is_own(const struct pki_profile *profile)
{
    const char *base = profile->file;

    if (profile->scope == PKI_CLUSTER && (is_below(base, "replicas") || is_below(base, "archive")))
        return true;
    if (profile->scope == PKI_REPLICA && !is_below(base, "pki"))
        return false;
    if (profile->scope == PKI_REPLICA)
        base += strlen("pki/");
    for (size_t i = 0; i < pki_rotating_count(); i++)
        if (is_beside(base, pki_rotating_at(i).file))
            return true;
    return false;
}

/* The same base, whatever the form: a kubeconfig has a key and a request beside it while it waits for a certificate.
 * And a new key of a pair waits under a name of its own. */
static bool is_shared(const struct pki_profile *one, const struct pki_profile *other)
{
    size_t length = strlen(other->file);

    return one->scope == other->scope && strncmp(one->file, other->file, length) == 0 &&
           (one->file[length] == '\0' || strcmp(one->file + length, ".next") == 0);
}

/* Two that write the same files would undo each other's work for ever. */
static int check_files(struct pki *pki, struct hactl_call *call)
{
    for (size_t i = 0; i < pki->profile_count; i++) {
        const struct pki_profile *one = &pki->profiles[i];
        if (one->form == PKI_SIGN_ONLY)
            continue;
        if (is_own(one))
            return pki->host->fail(call, HACTL_E_INVALID,
                                   "profiles.%s.file: hactl keeps a file of its own at %s (authorities, the service "
                                   "accounts' key, what a rotation puts beside them, and what is of replicas); choose "
                                   "another",
                                   one->purpose, one->file);
        for (size_t j = 0; j < pki->profile_count; j++)
            if (j != i && pki->profiles[j].form != PKI_SIGN_ONLY && is_shared(one, &pki->profiles[j]))
                return pki->host->fail(call, HACTL_E_INVALID, "profiles %s and %s have the same file, %s",
                                       pki->profiles[j].purpose, one->purpose, one->file);
    }
    return HACTL_OK;
}

static void profile_clear(struct pki_profile *profile)
{
    for (size_t i = 0; i < sizeof profile->owned / sizeof profile->owned[0]; i++)
        free(profile->owned[i]);
    for (size_t i = 0; profile->more_names != NULL && profile->more_names[i] != NULL; i++)
        free(profile->more_names[i]);
    free(profile->more_names);
}

void pki_profiles_free(struct pki *pki)
{
    for (size_t i = 0; i < pki->profile_count; i++)
        profile_clear(&pki->profiles[i]);
    free(pki->profiles);
    pki->profiles = NULL;
    pki->profile_count = 0;
}

static int left_out(const struct pki *pki, const struct hactl_conf *conf, const char *purpose)
{
    const char *word;

    for (size_t i = 0; (word = pki->host->conf_list(conf, "without", i)) != NULL; i++)
        if (strcmp(word, purpose) == 0)
            return 1;
    return 0;
}

static int check_without(const struct pki *pki, const struct hactl_conf *conf, struct hactl_call *call)
{
    const char *word;

    for (size_t i = 0; (word = pki->host->conf_list(conf, "without", i)) != NULL; i++)
        if (pki_profile_find(pki, word) == pki->profile_count)
            return pki->host->fail(call, HACTL_E_INVALID, "without: there is no certificate \"%.60s\"", word);
    return HACTL_OK;
}

static void remove_profile(struct pki *pki, size_t at)
{
    profile_clear(&pki->profiles[at]);
    memmove(&pki->profiles[at], &pki->profiles[at + 1], (--pki->profile_count - at) * sizeof *pki->profiles);
}

int pki_profiles_load(struct pki *pki, const struct hactl_conf *conf, struct hactl_call *call)
{
    size_t own = 0;
    const char *purpose;
    int result = HACTL_OK;

    while (pki->host->conf_list(conf, "profiles.*", own) != NULL)
        own++;
    pki->profiles = calloc(BUILTIN_COUNT + own, sizeof *pki->profiles);
    if (pki->profiles == NULL)
        return pki->host->fail(call, HACTL_E_INTERNAL, "out of memory");
    memcpy(pki->profiles, builtin, sizeof builtin);
    pki->profile_count = BUILTIN_COUNT;
    for (size_t i = 0; i < BUILTIN_COUNT; i++)
        if (pki->profiles[i].life_s > pki->leaf_s)
            pki->profiles[i].life_s = pki->leaf_s;
    for (size_t i = 0; result == HACTL_OK && i < own; i++) {
        struct reading reading = {.pki = pki, .conf = conf, .call = call};
        size_t at;
        purpose = pki->host->conf_list(conf, "profiles.*", i);
        at = pki_profile_find(pki, purpose);
        reading.profile = &pki->profiles[at];
        if (at == pki->profile_count) {
            *reading.profile = (struct pki_profile){.authority = "kubernetes-ca", .scope = PKI_REPLICA};
            if ((reading.profile->owned[5] = strdup(purpose)) == NULL)
                return out_of_memory(&reading);
            reading.profile->purpose = reading.profile->owned[5];
            pki->profile_count++;
        }
        reading.purpose = purpose;
        result = read_profile(&reading);
    }
    if (result == HACTL_OK)
        result = check_without(pki, conf, call);
    for (size_t i = pki->profile_count; result == HACTL_OK && i-- > 0;)
        if (left_out(pki, conf, pki->profiles[i].purpose))
            remove_profile(pki, i);
    /* kubeadm's etcd has one authority, and then everything of etcd's is its own. */
    for (size_t i = 0; pki->single_etcd && i < pki->profile_count; i++)
        if (strcmp(pki->profiles[i].authority, "etcd-peer-ca") == 0)
            pki->profiles[i].authority = "etcd-ca";
    return result == HACTL_OK ? check_files(pki, call) : result;
}
