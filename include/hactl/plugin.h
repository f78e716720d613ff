/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hactl plugin contract, ABI 0.4.
 *
 * A plugin is a shared object that exports one constant object named
 * `hactl_plugin`. It offers small idempotent operations on one kind of thing;
 * hactl's core observes, plans, orders, waits, retries and verifies. A plugin
 * never sees another plugin, decides no order, never sleeps for a remote
 * operation and never repeats one by itself.
 *
 * The rules, once and for all:
 *
 * Memory   No memory crosses. What a plugin is given (wants, strings) is
 *          borrowed until the operation returns. Results go out through the
 *          host's emit functions, which copy before they return.
 * Strings  UTF-8, NUL-terminated, no control characters. NULL means "not
 *          said" where a member is marked optional; any other string is never
 *          NULL. At most 63 bytes for names, 45 for literal addresses, 23 for
 *          ids, 127 for URLs, 255 for digests, 109 for hosts to dial: longer
 *          ones are refused, not cut. Texts for people (details, reasons, subjects,
 *          error texts) are cut at 600 and repaired instead.
 * Records  Every record begins with `struct_size`, set by whoever fills it
 *          in. A reader looks at no member beyond that size. Lists are arrays
 *          of pointers, so that records can grow.
 * Times    Durations are in milliseconds, points in time in seconds since
 *          1970-01-01 UTC; the name of each member says which.
 * Returns  Operations return HACTL_OK, HACTL_PENDING or a negative
 *          HACTL_E_* code. Errors are returned as
 *              return host->fail(call, HACTL_E_DENIED, "...", ...);
 *          with one line that names the object, and the remote's own code
 *          and words. No "failed to create X": the caller says that already.
 * Repeats  Every changing operation is idempotent: already so is HACTL_OK;
 *          the same name with another meaning is HACTL_E_CONFLICT; destroying
 *          what is not there is HACTL_OK.
 * Waiting  A changing operation starts remote work and answers at once with
 *          HACTL_PENDING after exactly one host->emit_token(): printable, no
 *          secret, at most 1,000 bytes, of use to any later instance with the
 *          same settings. The core then calls `poll`, which changes nothing
 *          and emits nothing. HACTL_OK from `poll` ends the token, not the
 *          operation: the core calls the operation again until it answers
 *          HACTL_OK itself, and only that answer emits what was promised.
 *          From what changes nothing (lists, ports, programs, render, probe,
 *          reach, credential, check, can_run, unit_log), `open` and `snapshot`,
 *          HACTL_PENDING is a defect.
 *          Aim at two seconds a call, never go beyond host->ms_left();
 *          `snapshot` may use all of that, a change of membership 8 s.
 * Failing  Records emitted by an operation that fails are discarded.
 * Threads  One instance is never entered twice at once; different instances
 *          may be. `open` and `close` overlap no other call into any plugin
 *          and run on the main thread; all else on the instance's own. There
 *          may be several instances of the same settings: all but the first
 *          are asked `probe` only and write nothing. A plugin leaves no
 *          thread, signal handler, environment change or working directory
 *          behind, and never calls exit().
 * Secrets  Private keys travel in no log, error text, token or argument
 *          vector.
 *
 * ABI 0.x must match exactly. From 1.0 on a plugin built for 1.m loads in
 * every hactl 1.n with n >= m; tables then grow only at their end.
 */
#ifndef HACTL_PLUGIN_H
#define HACTL_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HACTL_ABI_MAJOR 0
#define HACTL_ABI_MINOR 4

#if defined(__GNUC__)
#define HACTL_EXPORT       __attribute__((visibility("default")))
#define HACTL_FORMAT(f, a) __attribute__((format(printf, f, a)))
#else
#define HACTL_EXPORT
#define HACTL_FORMAT(f, a)
#endif

/* ---- results of operations, and what the core does about each ---------- */

#define HACTL_OK            0     /* done, or already so */
#define HACTL_PENDING       1     /* started; a token was emitted, poll it */
#define HACTL_E_INVALID     (-1)  /* the request cannot be right: stops, names the setting */
#define HACTL_E_DENIED      (-2)  /* credentials or permission: stops, exit status 4 */
#define HACTL_E_NOT_FOUND   (-3)  /* what the operation needs is not there: observes, plans again */
#define HACTL_E_CONFLICT    (-4)  /* the name is taken by something else: stops */
#define HACTL_E_QUOTA       (-5)  /* limit or stock: stops and explains */
#define HACTL_E_BUSY        (-6)  /* not now; repeating the operation is right: asks again until the deadline */
#define HACTL_E_UNAVAILABLE (-7)  /* not reached; repeating the operation is right: asks again until the deadline */
#define HACTL_E_TIMEOUT     (-8)  /* outcome unknown: observes before it repeats */
#define HACTL_E_UNSUPPORTED (-9)  /* this plugin cannot do that here: stops */
#define HACTL_E_INTERNAL    (-10) /* a defect: stops, exit status 11 */
#define HACTL_E_LOST        (-11) /* data that cannot be made again is gone: stops, asks for a decision */
#define HACTL_E_FAILED      (-12) /* refused or broken there, outcome known (disk full, port taken): stops */
#define HACTL_E_CANCELLED   (-13) /* host->cancelled() was true, outcome unknown: exit status 8 */
#define HACTL_E_ENDED       (-14) /* only from `poll`: ended there without any effect, to be repeated */
/* Any other value counts as HACTL_E_INTERNAL. */

enum hactl_log_level {
    HACTL_LOG_ERROR = 0,
    HACTL_LOG_WARNING = 1,
    HACTL_LOG_INFO = 2, /* one line per thing changed */
    HACTL_LOG_DEBUG = 3 /* one line per request: method, path, status, milliseconds; no bodies */
};

/* Opaque to plugins. */
struct hactl_call; /* one operation under way: who speaks, until when, where results go */
struct hactl_conf; /* the checked settings of one plugin instance */

/* ---- settings, declared as data ---------------------------------------- */

enum hactl_key_type {
    HACTL_KEY_STRING = 1,
    HACTL_KEY_INTEGER = 2,
    HACTL_KEY_BOOLEAN = 3,
    HACTL_KEY_STRING_LIST = 4, /* a libconfig array or list of strings */
    HACTL_KEY_PATH = 5,        /* a string; ~ and relative paths are resolved against the file's directory */
    HACTL_KEY_INSTANCE = 6     /* the name of another plugin instance, whose settings host->conf_of gives */
};

#define HACTL_KEY_REQUIRED 1u
#define HACTL_KEY_SECRET   2u /* printed as "(set)", never as its value */

/* A table of these ends with a record whose name is NULL. The core checks the
 * file against it (with line and "did you mean"), fills defaults in, prints
 * them and feeds the manual. This record never grows. */
struct hactl_key {
    const char *name;
    enum hactl_key_type type;
    uint32_t flags;
    const char *default_value; /* optional; as written in a file, lists separated by spaces */
    int64_t minimum, maximum;  /* integers only; both 0 means any */
    const char *choices;       /* optional; strings only: "haproxy|gce" */
    const char *help;          /* one sentence */
};

/* ---- what is emitted ---------------------------------------------------- */

enum hactl_tristate { HACTL_NO = 0, HACTL_YES = 1, HACTL_UNKNOWN = 2 };

struct hactl_zone {
    uint32_t struct_size;
    const char *name;
    const char *region;
    enum hactl_tristate up; /* it works; of one that does not, what is not emitted counts as unknown */
};

enum hactl_instance_state {
    HACTL_INSTANCE_ABSENT = 0,
    HACTL_INSTANCE_STARTING = 1,
    HACTL_INSTANCE_RUNNING = 2,
    HACTL_INSTANCE_STOPPED = 3, /* as after a power cut: its data is there, instance_ensure starts it */
    HACTL_INSTANCE_UNKNOWN = 4  /* could not be asked; never the same as absent */
};

struct hactl_instance {
    uint32_t struct_size;
    const char *name;
    const char *zone;
    enum hactl_instance_state state;
    const char *internal_address; /* optional; NULL while it has none */
    enum hactl_tristate data;     /* NO: its data directory is not the one it had (lost, emptied) */
    const char *detail;           /* optional; for people */
    /* YES: it has a public address of its own, which bars a claim; NO: it has
     * none, and is to have one when it does not hold the cluster's; UNKNOWN:
     * whether it has one is in nobody's way, or it is to have none. */
    enum hactl_tristate temporary_address;
};

/* What the replica asks to be certified: it made the key, which never leaves it. */
struct hactl_request {
    uint32_t struct_size;
    const char *instance;
    const char *purpose;
    const char *content; /* PKCS#10 in PEM */
};

/* The rules of the cloud's firewall, as they were last made. */
struct hactl_firewall {
    uint32_t struct_size;
    enum hactl_tristate whole; /* NO: some rule is missing, or not as it was made */
    const char *digest;        /* optional; as given with the want that they were made from */
};

/* What of a payload an instance holds. */
struct hactl_delivery {
    uint32_t struct_size;
    const char *instance;
    const char *payload;
    const char *digest;          /* optional; as given with the payload that runs now */
    enum hactl_tristate running; /* every unit of it runs */
    const char *detail;          /* optional; for people: "etcd exited with 1: ..." */
};

enum hactl_address_kind { HACTL_ADDRESS_EXTERNAL = 0, HACTL_ADDRESS_INTERNAL = 1 };

struct hactl_address {
    uint32_t struct_size;
    const char *name;
    enum hactl_address_kind kind;
    const char *address;      /* the literal */
    enum hactl_tristate held; /* external: by an instance, or by anything else that the cloud knows of */
    const char *instance;     /* optional; the instance that holds it */
    const char *holder;       /* optional; who else does, for people */
};

/* How to dial a port of an instance from here. */
struct hactl_reach {
    uint32_t struct_size;
    const char *host; /* address to connect to */
    uint16_t port;
    const char *verify; /* the address that the certificate must carry */
};

/* How far an authority is on its way to a successor of the same name. */
enum hactl_rotation {
    HACTL_ROTATION_NONE = 0,    /* there is one, it signs and is trusted */
    HACTL_ROTATION_PREPARE = 1, /* the new one is made, and nobody knows it */
    HACTL_ROTATION_TRUST = 2,   /* the old one signs, both are trusted */
    HACTL_ROTATION_SWITCH = 3,  /* the new one signs, both are trusted */
    HACTL_ROTATION_RETIRE = 4   /* the new one signs, it alone is trusted */
};

struct hactl_certificate {
    uint32_t struct_size;
    const char *purpose;       /* "etcd-peer", "kube-apiserver", ... */
    const char *replica;       /* optional; NULL: of the cluster */
    enum hactl_tristate ready; /* YES: there, sound and as wanted; NO: issue would make or change it */
    const char *reason;        /* optional; why not ready: "missing", "address 127.80.1.1 is not in it" */
    const char *subject;
    const char *names; /* subject alternative names, comma-separated */
    /* Optional; those that it is to have, each with why: "10.0.0.1 (internal address of demo-1)" */
    const char *wanted;
    int64_t not_before_s, not_after_s; /* 0 when missing, and for keys that never expire */
    const char *path;                  /* optional; where it is kept, for people */
    int is_authority;
    const char *authority;        /* optional; purpose of the one that signs it */
    int64_t due_s;                /* from when on it is to be renewed; 0: not known */
    int rotates;                  /* `rotate` takes its purpose: an authority, or a key that signs tokens */
    enum hactl_rotation rotation; /* of one that rotates */
    int carries_trust;            /* it holds what is to be trusted: `authority`, or (NULL) all of them */
    int64_t retire_s;             /* of one in phase SWITCH: not to be retired before; 0: at any time */
    int revocations;              /* of an authority: it has a list of what it revoked */
    int new_key;                  /* of one that is not ready: it is to have another key than the one in use */
};

/* A credential as content, and as a file of the operator's machine where the
 * issuer keeps it as one. */
struct hactl_credential {
    uint32_t struct_size;
    const char *content; /* PEM; the core zeroizes its copy after use */
    size_t content_size;
    const char *path; /* optional */
};

struct hactl_group {
    uint32_t struct_size;
    enum hactl_tristate formed; /* some member answered for a cluster; UNKNOWN: none answered */
    enum hactl_tristate quorum; /* a linearizable read was served */
    const char *cluster_id;     /* optional */
    const char *version;        /* optional; the lowest server version seen */
    const char *alarm;          /* optional; "NOSPACE at demo-1" */
    int64_t db_size_bytes;
    const char *detail; /* optional; why formed or quorum is not YES, or what is wrong although they are */
};

struct hactl_member {
    uint32_t struct_size;
    const char *id;      /* as the system's own tools print it (etcd: hex); the key in later operations */
    const char *name;    /* optional; NULL before one that was added has started once */
    const char *address; /* host part of its peer URL */
    const char *peer_url;
    int voter; /* 0: learner */
    int leader;
    enum hactl_tristate started;   /* it has served once; of one that never did nothing can be lost */
    enum hactl_tristate healthy;   /* it answered for itself and follows the leader */
    enum hactl_tristate caught_up; /* its own applied index has reached the leader's */
    int64_t lag_entries;           /* leader's index less its applied index; -1 unknown */
};

struct hactl_balancer {
    uint32_t struct_size;
    const char *name;
    enum hactl_tristate running;
    const char *address;    /* optional; the public address it holds, even if it cannot answer; NULL: none */
    const char *trial_host; /* optional; the temporary address it answers on */
    uint16_t trial_port;
    const char *detail; /* optional */
};

struct hactl_backend {
    uint32_t struct_size;
    const char *name;
    enum hactl_tristate healthy;
    const char *detail; /* optional; "L4 connection refused" */
};

/* A payload is neutral: files, units and ports. The core never reads it. */
struct hactl_file {
    uint32_t struct_size;
    const char *path;    /* relative to the payload's directory on the replica, or absolute there */
    uint32_t mode;       /* 0600 */
    const char *content; /* optional; NULL: the credential below */
    size_t content_size;
    const char *purpose; /* optional; a certificate's purpose ... */
    /* ... and "certificate", "key", "authority", "public", "kubeconfig" or
     * "revocations". In `deliver`, where replicas make their keys: content NULL with part "key"
     * is the key that the machine made. */
    const char *part;
    /* Optional, only in `deliver`: the content is a CMS message in PEM, sealed to the key that the machine made for
     * this purpose; the machine opens it. */
    const char *sealed_to;
    /* 1: whoever uses it reads it again by itself, so a change of its content restarts nothing. */
    int reread;
};

enum hactl_restart { HACTL_RESTART_NEVER = 0, HACTL_RESTART_ON_FAILURE = 1 };

/* `${directory}` in an argument is the payload's directory on the replica,
 * `${data}` a directory there that lives as long as the replica does. */
struct hactl_unit {
    uint32_t struct_size;
    const char *name;
    const char *const *argv; /* ends with NULL; argv[0] is a program name or an absolute path */
    const char *package;     /* optional; the Debian package that has the program, for the error text */
    enum hactl_restart restart;
    uint32_t stop_timeout_ms; /* after SIGTERM, before SIGKILL */
};

#define HACTL_PORT_ENDPOINT 1u /* the public endpoint fronts this one */
#define HACTL_PORT_PEERS    2u /* between replicas only */
#define HACTL_PORT_OPERATOR 4u /* hactl itself talks to it */

struct hactl_port {
    uint32_t struct_size;
    const char *name; /* "etcd-client" */
    uint16_t port;
    uint32_t flags;
};

/* ---- what operations are asked ------------------------------------------ */

struct hactl_cluster {
    uint32_t struct_size;
    const char *name;
    const char *external_address; /* optional until reserved */
    uint16_t endpoint_port;
    const char *service_address;    /* first address of the service range, optional */
    const char *dns_domain;         /* "cluster.local" */
    const char *const *extra_names; /* more names or addresses for API certificates; ends with NULL */
};

struct hactl_replica {
    uint32_t struct_size;
    const char *name;
    const char *zone;
    const char *internal_address; /* optional until reserved */
};

struct hactl_instance_want {
    uint32_t struct_size;
    const struct hactl_replica *replica;
    /* Optional, ends with NULL: the machine makes a key for each of these
     * purposes at its first start, see `requests`. */
    const char *const *key_purposes;
};

struct hactl_firewall_want {
    uint32_t struct_size;
    const struct hactl_cluster *cluster;
    const struct hactl_port *const *ports;
    size_t port_count;
    const char *digest; /* the core's, of all this; kept, and given back by `list` */
};

struct hactl_inventory {
    uint32_t struct_size;
    const struct hactl_cluster *cluster;
    const struct hactl_replica *const *replicas;
    size_t replica_count;
    int replica_keys;          /* 1: replicas make their keys themselves; the issuer signs their requests */
    int rekey;                 /* what is renewed gets a new key */
    const char *const *renews; /* optional: only what is of these replicas or purposes is renewed; ends with NULL */
    /* Optional, where replicas make their keys: those that payloads use; of a replica no others are called for. Ends
     * with NULL. */
    const char *const *key_purposes;
};

/* Files of the operator's machine for mutual TLS; all optional together. */
struct hactl_tls {
    uint32_t struct_size;
    const char *authority_file;
    const char *certificate_file;
    const char *key_file;
};

struct hactl_endpoint {
    uint32_t struct_size;
    const char *replica;
    const struct hactl_reach *reach;
};

struct hactl_group_want {
    uint32_t struct_size;
    const struct hactl_cluster *cluster;
    const struct hactl_endpoint *const *endpoints; /* replicas that may be dialled */
    size_t endpoint_count;
    const struct hactl_tls *tls; /* optional */
    const char *cluster_id;      /* optional; a group that answers with another is HACTL_E_CONFLICT */
};

struct hactl_payload_want {
    uint32_t struct_size;
    const struct hactl_cluster *cluster;
    const struct hactl_replica *replica;
    const struct hactl_replica *const *peers; /* founding: every founding replica, itself included */
    size_t peer_count;
    const struct hactl_member *const *members; /* joining: the group as it is now, its own entry included */
    size_t member_count;
    int founding; /* 1: the group is formed from `peers` at once; 0: joins or restarts among `members` */
    const char *const *revocable; /* purposes that have "revocations"; ends with NULL */
};

struct hactl_probe_want {
    uint32_t struct_size;
    const struct hactl_reach *reach;
    const struct hactl_tls *tls; /* optional */
};

struct hactl_payload {
    uint32_t struct_size;
    const char *name;
    const char *digest;                    /* the core's, of all this; kept, and given back in a delivery */
    const struct hactl_file *const *files; /* purposes already replaced by content */
    size_t file_count;
    const struct hactl_unit *const *units;
    size_t unit_count;
    const struct hactl_port *const *ports;
    size_t port_count;
    /* 1: nothing has changed but the content of files that are read again, so
     * units that run are left alone, whatever they were started with. */
    int keep_running;
};

struct hactl_backend_want {
    uint32_t struct_size;
    const char *name; /* the replica's */
    const char *zone;
    const char *address;
};

struct hactl_balancer_want {
    uint32_t struct_size;
    const char *name;
    const struct hactl_cluster *cluster;
    uint16_t port;         /* the endpoint's, at the public address */
    uint16_t backend_port; /* the same service at each replica */
    /* Who is to be behind it, replicas that run first; others may not be there
     * yet. `ensure` may make what they will need, and puts nobody behind it. */
    const struct hactl_backend_want *const *backends;
    size_t backend_count;
};

/* ---- host services ------------------------------------------------------- */

/* Given to `open`; valid until `close` has returned. Every function may be
 * called from the thread that entered the plugin, and from no other. */
struct hactl_host {
    uint32_t struct_size;
    uint16_t abi_major, abi_minor;

    void (*log)(struct hactl_call *call, enum hactl_log_level level, const char *format, ...) HACTL_FORMAT(3, 4);
    /* Keeps the text and returns `code`. The first text of a call stands. */
    int (*fail)(struct hactl_call *call, int code, const char *format, ...) HACTL_FORMAT(3, 4);
    /* With HACTL_E_BUSY, HACTL_E_UNAVAILABLE, HACTL_PENDING: not before this. */
    void (*retry_after)(struct hactl_call *call, uint32_t ms);
    /* Until the call's deadline; 0 or less when it has passed. */
    int64_t (*ms_left)(struct hactl_call *call);
    /* The user has asked to stop, and this call need not come to its end, as a
     * step must: return soon with HACTL_E_CANCELLED. */
    int (*cancelled)(struct hactl_call *call);
    /* The name of this intent, a UUID: in the journal before the operation is
     * entered, the same whenever this very intent is repeated, by whichever
     * process; for APIs that take a request id. NULL for calls that change nothing. */
    const char *(*intent)(struct hactl_call *call);

    /* Settings: only keys that the plugin declared; already checked and defaulted. */
    const char *(*conf_string)(const struct hactl_conf *conf, const char *key); /* NULL: not set, no default */
    int64_t (*conf_integer)(const struct hactl_conf *conf, const char *key);
    int (*conf_boolean)(const struct hactl_conf *conf, const char *key);
    const char *(*conf_list)(const struct hactl_conf *conf, const char *key, size_t index); /* NULL past the end */
    /* This instance's name, the cluster's, and a directory of its own under
     * the cluster's state directory (not yet made; the plugin makes it 0700). */
    const char *(*conf_instance)(const struct hactl_conf *conf);
    const char *(*conf_cluster)(const struct hactl_conf *conf);
    const char *(*conf_directory)(const struct hactl_conf *conf);
    /* The settings of the instance that a HACTL_KEY_INSTANCE names, to be read
     * with the functions above; NULL: the key is not set. Valid as long as
     * `conf`. Its plugin is not entered, and may not be open yet. */
    const struct hactl_conf *(*conf_of)(const struct hactl_conf *conf, const char *key);

    /* Each copies its record. Returns HACTL_OK, or a negative code that the
     * operation hands straight up; one that goes on has failed all the same. */
    int (*emit_token)(struct hactl_call *call, const char *token);
    int (*emit_text)(struct hactl_call *call, const char *text);
    int (*emit_zone)(struct hactl_call *call, const struct hactl_zone *zone);
    int (*emit_instance)(struct hactl_call *call, const struct hactl_instance *instance);
    int (*emit_delivery)(struct hactl_call *call, const struct hactl_delivery *delivery);
    int (*emit_address)(struct hactl_call *call, const struct hactl_address *address);
    int (*emit_reach)(struct hactl_call *call, const struct hactl_reach *reach);
    int (*emit_certificate)(struct hactl_call *call, const struct hactl_certificate *certificate);
    int (*emit_credential)(struct hactl_call *call, const struct hactl_credential *credential);
    int (*emit_group)(struct hactl_call *call, const struct hactl_group *group);
    int (*emit_member)(struct hactl_call *call, const struct hactl_member *member);
    int (*emit_balancer)(struct hactl_call *call, const struct hactl_balancer *balancer);
    int (*emit_backend)(struct hactl_call *call, const struct hactl_backend *backend);
    int (*emit_file)(struct hactl_call *call, const struct hactl_file *file);
    int (*emit_unit)(struct hactl_call *call, const struct hactl_unit *unit);
    int (*emit_port)(struct hactl_call *call, const struct hactl_port *port);
    int (*emit_request)(struct hactl_call *call, const struct hactl_request *request);
    int (*emit_firewall)(struct hactl_call *call, const struct hactl_firewall *firewall);
    /* Not a record: while listing, a zone (NULL: what belongs to no zone, such
     * as addresses and the firewall) could not be read completely, and why.
     * What is not emitted there counts as unknown, never as absent. */
    int (*emit_unread)(struct hactl_call *call, const char *zone, const char *why);
};

/* ---- the kinds: one table each; [O] marks the optional operations -------- */

/* Machines, addresses and the way to them. Everything it lists is this
 * cluster's own: an object with our name that is not ours is HACTL_E_CONFLICT
 * when it is to be made or destroyed. */
struct hactl_cloud_ops {
    uint32_t struct_size;
    int (*zones)(void *self, struct hactl_call *call);
    /* Emits instances, deliveries, addresses and (where there is
     * `firewall_ensure`) the firewall, leftovers included, every zone, and
     * emit_unread for what could not be read completely. Where names alone do
     * not say whose machines these are, emits one text too: the account and
     * place that the settings lead to, "project p-1, region us-central1",
     * whatever is there. The core keeps it with the cluster, and refuses
     * settings that lead to another. */
    int (*list)(void *self, struct hactl_call *call);
    /* `instance` (internal addresses): for whom. Emits the address. */
    int (*address_ensure)(void *self, struct hactl_call *call, const char *name, enum hactl_address_kind kind,
                          const char *instance, const char *zone);
    int (*address_destroy)(void *self, struct hactl_call *call, const char *name, enum hactl_address_kind kind);
    /* There and running; a stopped one starts again with all it was delivered. */
    int (*instance_ensure)(void *self, struct hactl_call *call, const struct hactl_instance_want *want);
    int (*instance_destroy)(void *self, struct hactl_call *call, const char *name);
    /* Writes the files, starts the units; those unchanged are left running.
     * Files get their names together, once all are written: a certificate and
     * its key may be read at any moment. */
    int (*deliver)(void *self, struct hactl_call *call, const char *instance, const struct hactl_payload *payload);
    /* The external address answers at this instance's `port`, respectively no
     * longer does; connections made before a release may finish. `claim` never
     * takes: held by another is HACTL_E_BUSY. `release` by one that does not
     * hold it is HACTL_OK and touches no other holder. `address`: the literal. */
    int (*claim)(void *self, struct hactl_call *call, const char *address, const char *instance, uint16_t port,
                 uint16_t instance_port);
    int (*release)(void *self, struct hactl_call *call, const char *address, const char *instance);
    /* Where to dial that port of that instance from here. Emits one reach.
     * HACTL_E_BUSY while a way is being made: asked again, for a few seconds. */
    int (*reach)(void *self, struct hactl_call *call, const char *instance, uint16_t port);
    /* [O] Who may reach what. Both or neither. */
    int (*firewall_ensure)(void *self, struct hactl_call *call, const struct hactl_firewall_want *want);
    int (*firewall_destroy)(void *self, struct hactl_call *call);
    /* [O] The last lines that a unit wrote, for error texts. Emits text. */
    int (*unit_log)(void *self, struct hactl_call *call, const char *instance, const char *unit);
    /* [O] Nothing of the cluster is left: removes what only the cloud knew. */
    int (*forget)(void *self, struct hactl_call *call);
    /* [O] Required for keys = "replica". Emits a request for each purpose that
     * the instance was made with; HACTL_E_BUSY until the machine has handed
     * them all out. Changes nothing. */
    int (*requests)(void *self, struct hactl_call *call, const char *instance);
    /* [O] A public address of the instance's own, for its way out, while it
     * does not hold the cluster's. Both or neither; with them `release` leaves
     * the instance without, and `claim` may be refused while it has one: no
     * call is lost on it while the cluster's address is dark. A new instance
     * has one. */
    int (*temporary_address_ensure)(void *self, struct hactl_call *call, const char *instance);
    int (*temporary_address_destroy)(void *self, struct hactl_call *call, const char *instance);
    /* [O] Asked when a plan is made, before anything is changed: could
     * instances run these units? HACTL_E_UNSUPPORTED names the program that
     * they would not find, and its package. Of argv only the first counts. */
    int (*can_run)(void *self, struct hactl_call *call, const struct hactl_unit *const *units, size_t unit_count);
};

/* A consensus group such as etcd. Who serves this serves a payload too: what
 * its members run. Every operation re-reads the membership by
 * itself as often as it needs; none waits for a state to come. */
struct hactl_member_ops {
    uint32_t struct_size;
    /* Emits one group and its members. No answer is not an error: formed = UNKNOWN. */
    int (*list)(void *self, struct hactl_call *call, const struct hactl_group_want *want);
    /* As a learner, for a replica that need not run yet; already so when its
     * peer URL is listed, learner or voter. Emits the member. */
    int (*add)(void *self, struct hactl_call *call, const struct hactl_group_want *want,
               const struct hactl_replica *replica);
    /* HACTL_E_BUSY while its own applied index lags. */
    int (*promote)(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *id);
    int (*move_leader)(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *to_id);
    /* Through a healthy other member. */
    int (*remove)(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *id);
    /* [O] To a new file, checked. Emits text: its SHA-256. */
    int (*snapshot)(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *path);
};

/* What runs on a replica. */
struct hactl_payload_ops {
    uint32_t struct_size;
    /* Emits the ports; the same for every replica. */
    int (*ports)(void *self, struct hactl_call *call);
    /* Emits files, units and ports. Changes nothing. Files that differ from
     * those that were delivered have the units restarted (but for the content
     * of those that are read again), so they follow the
     * want's replica and its certificates, never peers or members; arguments
     * may follow those. */
    int (*render)(void *self, struct hactl_call *call, const struct hactl_payload_want *want);
    /* HACTL_OK: it answers and is ready at that address. HACTL_E_UNAVAILABLE: it does not. */
    int (*probe)(void *self, struct hactl_call *call, const struct hactl_probe_want *want);
    /* The purpose of the certificate with which the operator dials it; NULL: none. */
    const char *operator_purpose;
    /* Optional, ends with NULL: the purposes whose "key" its files name, of each replica's own. Where replicas make
     * their keys they make these, and a file that names another is a defect. */
    const char *const *key_purposes;
    /* [O] Emits a unit for each program that `render` will ask for, whatever
     * the replica; nothing of it but argv[0] and `package` counts. */
    int (*programs)(void *self, struct hactl_call *call);
};

/* In the place of a replica's name. */
#define HACTL_EVERYTHING "*"

/* Authorities and certificates. Names come from the inventory, never from a
 * request. */
struct hactl_issuer_ops {
    uint32_t struct_size;
    /* Emits a certificate for each that the inventory calls for, there or not. */
    int (*list)(void *self, struct hactl_call *call, const struct hactl_inventory *inventory);
    /* Makes the authorities; never replaces one. */
    int (*authority_ensure)(void *self, struct hactl_call *call, const struct hactl_inventory *inventory);
    /* Issues what is missing or not as wanted, of one replica, (NULL) of the
     * cluster itself, or (HACTL_EVERYTHING) of both, all as one. `requests`: of that replica where it makes its own
     * keys, otherwise none; names come from the inventory all the same. A request with another key than its purpose's
     * certificate has: issued anew. */
    int (*issue)(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *replica,
                 const struct hactl_request *const *requests, size_t request_count);
    /* Puts a replica's certificates and keys out of use. */
    int (*retire)(void *self, struct hactl_call *call, const char *replica);
    /* Emits one credential; `replica` NULL: the cluster's. `part`: see hactl_file. */
    int (*credential)(void *self, struct hactl_call *call, const char *replica, const char *purpose, const char *part);
    /* Everything, authorities included. */
    int (*destroy)(void *self, struct hactl_call *call);
    /* [O] Signs a request (PEM) that somebody else made, for the certificate
     * `purpose` of that replica (NULL: of the cluster). What the certificate
     * says is not the request's to say; one that asks for more is
     * HACTL_E_INVALID. Emits one credential: the certificate and its chain. */
    int (*sign)(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *replica,
                const char *purpose, const char *request);
    /* [O] Makes keys and requests for what is due of authorities whose keys are
     * elsewhere, of one replica or (NULL) of all. Emits one credential for each request. */
    int (*request)(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *replica);
    /* [O] Takes in the answer to such a request: one certificate (PEM) with its chain. */
    int (*import)(void *self, struct hactl_call *call, const struct hactl_inventory *inventory,
                  const char *certificate);
    /* [O] Takes an authority to a phase next to the one it is in, forwards or
     * back; from RETIRE to NONE the old one is put away. What is issued and
     * what `credential` gives as "authority" follow the phase: the core rolls
     * both out, and asks for the next phase only when all have them. */
    int (*rotate)(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *authority,
                  enum hactl_rotation phase);
    /* [O] Puts a certificate (PEM) on its authority's list of those that are
     * no longer valid, and makes the list anew. */
    int (*revoke)(void *self, struct hactl_call *call, const struct hactl_inventory *inventory,
                  const char *certificate);
    /* [O] Required where replicas make their keys and a payload names the "key" or "kubeconfig" of a purpose of the
     * cluster's, which replicas share. Emits one credential: that part, as a CMS message in PEM that only the key
     * certified for `recipient` of that replica opens. HACTL_E_DENIED: what goes to no replica, such as an
     * authority's key. */
    int (*seal)(void *self, struct hactl_call *call, const char *purpose, const char *part, const char *replica,
                const char *recipient);
};

/* What holds the public address once there are two replicas. */
struct hactl_balancer_ops {
    uint32_t struct_size;
    /* Emits the balancer, if any part of it is there, and its backends. One
     * that cannot be asked is an error, never left out. */
    int (*list)(void *self, struct hactl_call *call, const struct hactl_balancer_want *want);
    /* Whole, health checks included, answering on a temporary address. */
    int (*ensure)(void *self, struct hactl_call *call, const struct hactl_balancer_want *want);
    int (*backend_ensure)(void *self, struct hactl_call *call, const struct hactl_balancer_want *want,
                          const struct hactl_backend_want *backend);
    /* New connections go elsewhere; old ones may finish. */
    int (*backend_destroy)(void *self, struct hactl_call *call, const struct hactl_balancer_want *want,
                           const char *name);
    int (*claim)(void *self, struct hactl_call *call, const struct hactl_balancer_want *want, const char *address);
    int (*release)(void *self, struct hactl_call *call, const struct hactl_balancer_want *want, const char *address);
    int (*destroy)(void *self, struct hactl_call *call, const struct hactl_balancer_want *want);
};

/* ---- the exported object -------------------------------------------------- */

struct hactl_plugin {
    uint32_t struct_size; /* these three never move, in any version */
    uint16_t abi_major;
    uint16_t abi_minor;

    const char *name;             /* "local"; the name that `plugin =` in a configuration uses */
    const char *version;          /* the plugin's own */
    const char *summary;          /* one line */
    const struct hactl_key *keys; /* optional */

    /* `self` receives the instance. Reaches nothing over a network. A text of
     * host->fail() that begins with a key is told with that key's file and line. */
    int (*open)(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call, void **self);
    void (*close)(void *self); /* accepts NULL */
    /* [O] Credentials, programs and reach are as they must be. Changes nothing. */
    int (*check)(void *self, struct hactl_call *call);
    /* Required of a plugin that ever answers HACTL_PENDING: HACTL_OK done,
     * HACTL_PENDING still under way, or how it failed. */
    int (*poll)(void *self, struct hactl_call *call, const char *token);

    /* The kinds it serves: at least one is not NULL. */
    const struct hactl_cloud_ops *cloud;
    const struct hactl_member_ops *member;
    const struct hactl_payload_ops *payload;
    const struct hactl_issuer_ops *issuer;
    const struct hactl_balancer_ops *balancer;
};

extern HACTL_EXPORT const struct hactl_plugin hactl_plugin;

#ifdef __cplusplus
}
#endif

#endif /* HACTL_PLUGIN_H */
