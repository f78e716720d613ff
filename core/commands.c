/* SPDX-License-Identifier: Apache-2.0 */
#include "core/commands.h"

#include <string.h>

#define UP_OPTIONS (HA_BIT(HA_OPTION_REPLICAS) | HA_BIT(HA_OPTION_DETAILED_EXITCODE))
#define LIMITS     (HA_BIT(HA_OPTION_WARN) | HA_BIT(HA_OPTION_CRIT))
#define DETAILED   HA_BIT(HA_OPTION_DETAILED_EXITCODE)
#define GROUP      HA_BIT(HA_OPTION_GROUP)

const struct ha_command ha_commands[] = {
    {"init", NULL, NULL, "[NAME] [--replicas NUMBER] [--cloud local] [--force]", 0, 1,
     HA_BIT(HA_OPTION_REPLICAS) | HA_BIT(HA_OPTION_CLOUD) | HA_BIT(HA_OPTION_FORCE), ha_cmd_init,
     "writes a commented configuration", "init\ninit prod --replicas 5 -c prod.conf",
     "Writes hactl.conf, or the file that -c names, for a cluster called NAME (demo) and prints the next command. A "
     "file "
     "that is there already is left alone unless --force is given."},
    {"up", NULL, "apply", "[--replicas NUMBER]", 0, 0, UP_OPTIONS, ha_cmd_up, "makes the cluster as it is wanted",
     "up\nup --replicas 5 --yes\nup --dry-run -o json",
     "Makes what is missing, starts what has stopped, puts right what has drifted, in the order of the pipeline up. "
     "Run "
     "again it does nothing; after an interruption or a crash it goes on where that stopped.\n"
     "An empty store is seeded from the configuration. Afterwards the store is what counts: --replicas, replica add "
     "and "
     "replica remove change it, an edited cluster.replicas does not."},
    {"plan", NULL, NULL, "[--replicas NUMBER] [--detailed-exitcode]", 0, 0, UP_OPTIONS, ha_cmd_plan,
     "prints what up would do, and changes nothing", "plan\nplan --detailed-exitcode\nreplica remove demo-2 --dry-run",
     "Prints each step with the failure budget before and after it: voters, quorum, how many more failures the cluster "
     "tolerates, who holds the public address. Nothing is written, the store included. For the plan of another verb "
     "give that verb --dry-run."},
    {"down", NULL, NULL, "", 0, 0, DETAILED, ha_cmd_down, "deletes the cluster with all its data",
     "down --dry-run\ndown\ndown --yes",
     "Takes everything down in the opposite order: balancer, members, instances and their data, certificates and "
     "authorities, addresses, and last the store. This cannot be undone."},
    {"adopt", NULL, NULL, "[--force]", 0, 0, HA_BIT(HA_OPTION_FORCE), ha_cmd_adopt,
     "takes up a cluster whose store was lost", "adopt --dry-run\nadopt\nadopt --force",
     "For a cluster that hactl made, with the configuration that it was made with, and an empty store: the replica set "
     "is built from the machines and addresses that carry the cluster's name, the members of every group, the "
     "balancer, and who holds the public address. Nothing of the cluster is changed. Afterwards hactl plan is empty, "
     "or says what differs.\n"
     "What only the issuer's files know, such as the keys of the authorities, cannot be told from a cluster: without a "
     "copy of them (the directory of the issuer below the state directory) adopt says what will not be possible, and "
     "exits with 10.\n"
     "Refused with 5 if the store knows the cluster, and with 12 if what is there is not one cluster that was seen "
     "whole, or if an operation is half done: a machine that is no member, a member without a machine, a learner, a "
     "balancer beside a replica that holds the public address. With --force what is half done is taken as it is: hactl "
     "plan shows what up would finish, and what it would remove."},
    {"status", NULL, NULL, "", 0, 0, 0, ha_cmd_status, "shows the whole cluster on one screen",
     "status\nstatus -o json | jq .etcd.tolerates",
     "Asks every plugin and shows the public endpoint and who holds it, each group's tolerance in words, the next "
     "expiry "
     "of a certificate, what up would do, an unfinished operation, and each replica. Exits with 0 whatever it found; "
     "for "
     "monitoring use hactl check."},
    {"replica", "add", NULL, "[--zone ZONE] [--name NAME]", 0, 0,
     HA_BIT(HA_OPTION_ZONE) | HA_BIT(HA_OPTION_NAME) | DETAILED, ha_cmd_replica_add, "adds a replica",
     "replica add --zone b\nreplica add --zone b --name demo-b2 --yes",
     "Without --zone the zone is chosen by hactl, which spreads replicas. The new member joins every etcd group as a "
     "learner and becomes a voter once its own applied index has caught up; the second replica brings the balancer, "
     "which takes the public address over.\n"
     "With --name the request can be repeated: a replica of that name that is there already is not added again."},
    {"replica", "remove", NULL, "NAME [--zone ZONE] | --zone ZONE [--all]", 0, 1,
     HA_BIT(HA_OPTION_ZONE) | HA_BIT(HA_OPTION_ALL) | DETAILED, ha_cmd_replica_remove, "removes a replica and its data",
     "replica remove demo-2\nreplica remove --zone b --accept-budget 0\nreplica remove --zone b --all",
     "Takes it out of the balancer, moves leadership away, removes its members through a healthy other one, deletes "
     "the "
     "instance and retires its certificates. With --zone alone that zone must have one replica and no more, unless "
     "--all "
     "is given; with a name and --zone the replica must be in that zone. The last but one gives the public address "
     "back "
     "to the one that stays. The last one is removed by hactl down only."},
    {"replica", "replace", NULL, "NAME", 1, 1, DETAILED, ha_cmd_replica_replace,
     "puts a new replica in the place of one", "replica replace demo-2",
     "A dead member is removed before its successor joins; a live one stays until its successor has caught up. The "
     "successor is in the same zone, or in the emptiest one if that zone is no longer one of the cluster's "
     "(cluster.zones), and has a name of its own."},
    {"replica", "list", NULL, "", 0, 0, 0, ha_cmd_replica_list, "lists the replicas",
     "replica list\nreplica list -o json",
     "State is ready (its members are healthy voters and its own port answers), joined (voters, port does not answer), "
     "degraded, starting, stopped, absent, data lost, leaving or unknown."},
    {"endpoint", "show", NULL, "", 0, 0, 0, ha_cmd_endpoint_show, "shows the public address and what is behind it",
     "endpoint show", ""},
    {"endpoint", "promote", NULL, "", 0, 0, DETAILED, ha_cmd_endpoint_promote,
     "gives the public address to the balancer", "endpoint promote",
     "The balancer is built and proved on a temporary address first. If the address does not answer there afterwards, "
     "it "
     "is given back. The report tells the measured gap.\n"
     "With two replicas or more this ends a demotion: the usual rule holds again, that a lone replica has the address "
     "itself "
     "and several have the balancer. With one replica the balancer stays in front of it."},
    {"endpoint", "demote", NULL, "[REPLICA]", 0, 1, DETAILED, ha_cmd_endpoint_demote,
     "gives the public address to one replica", "endpoint demote\nendpoint demote demo-1",
     "To the replica that is named, else to a ready one. There it stays, however many replicas there are, and the "
     "balancer is "
     "deleted; hactl up does not change that, endpoint promote does. Until then hactl check warns."},
    {"etcd", "members", NULL, "[--group GROUP]", 0, 0, GROUP, ha_cmd_etcd_members,
     "lists the members of every etcd group", "etcd members\netcd members --group events -o json", ""},
    {"etcd", "status", NULL, "[--group GROUP]", 0, 0, GROUP, ha_cmd_etcd_status, "shows quorum, tolerance and members",
     "etcd status", ""},
    {"etcd", "snapshot", NULL, "FILE [--group GROUP]", 1, 1, GROUP, ha_cmd_etcd_snapshot,
     "saves a snapshot and checks its digest", "etcd snapshot backup.db\netcd snapshot events.db --group events",
     "FILE must not exist yet. Prints its SHA-256 as sha256sum -c reads it."},
    {"etcd", "move-leader", NULL, "[REPLICA] [--group GROUP]", 0, 1, GROUP, ha_cmd_etcd_move_leader,
     "hands leadership to another member", "etcd move-leader\netcd move-leader demo-3",
     "To the replica that is named, else to a healthy voter. Asks for consent as every change does."},
    {"etcd", "reconcile", NULL, "", 0, 0, DETAILED, ha_cmd_etcd_reconcile, "repairs the membership",
     "etcd reconcile --dry-run\netcd reconcile",
     "Removes members that belong to no replica, finishes members that were added and never started, and gives "
     "replicas "
     "that have lost their data a fresh member. What would cost the quorum is refused."},
    {"pki", "issue", NULL, "", 0, 0, DETAILED, ha_cmd_pki_issue, "issues what is missing or not as wanted", "pki issue",
     "Runs the stage that issues certificates, and no other. Authorities are made when they are missing and are never "
     "replaced."},
    {"pki", "list", NULL, "", 0, 0, 0, ha_cmd_pki_list, "lists every certificate", "pki list\npki list -o json", ""},
    {"pki", "check", NULL, "[--warn DURATION] [--crit DURATION] [--textfile FILE]", 0, 0,
     LIMITS | HA_BIT(HA_OPTION_TEXTFILE), ha_cmd_pki_check, "says how long every certificate lives, for monitoring",
     "pki check\npki check --warn 90d --crit 30d\npki check -o json\npki check --textfile "
     "/var/lib/prometheus/node-exporter/hactl.prom",
     "Lists every certificate, those in kubeconfigs and the authorities too, with the days that it has left and what "
     "is "
     "wrong with it: missing, expired, due for renewal, or not as it is wanted (names, key, signer, mode, owner).\n"
     "Exits with 0 when all are well; with 10 when some are due, expire within --warn (60d) or are not as wanted; with "
     "9 "
     "when one has expired, is missing or expires within --crit (14d). Of one that lives less than twice --warn only "
     "its being due counts, and none is critical before half the time from then to its end is over.\n"
     "--textfile writes the same as metrics, replacing the file in one step: "
     "hactl_certificate_not_after_timestamp_seconds, hactl_certificate_due_timestamp_seconds and "
     "hactl_certificate_state."},
    {"pki", "renew", NULL, "[--rekey] [NAME...]", 0, 6, HA_BIT(HA_OPTION_REKEY) | DETAILED, ha_cmd_pki_renew,
     "renews what is due, and rolls it out", "pki renew\npki renew --rekey demo-2\npki renew etcd-server --dry-run",
     "Issues every certificate anew that has less than its share of life left (see hactl-pki(8)) or is not as wanted, "
     "and gives it to what uses it, one replica after the other, each out of the balancer meanwhile. Nothing is due: "
     "nothing is done. Keys are kept unless --rekey is given. With names only what is of these replicas or purposes is "
     "renewed."},
    {"pki", "rotate", NULL, "[AUTHORITY [prepare | trust | switch | retire | back | status]]", 0, 2, DETAILED,
     ha_cmd_pki_rotate, "replaces a certificate authority while the cluster runs",
     "pki rotate\npki rotate etcd-ca prepare\npki rotate etcd-ca trust\npki rotate etcd-ca switch\npki rotate etcd-ca "
     "retire\npki rotate etcd-ca back\npki rotate etcd-ca --accept-budget 0",
     "prepare makes the new authority beside the old one; trust has both trusted everywhere; switch has everything "
     "signed by the new one; retire ends the trust in the old one and puts it away. Each phase is rolled out to one "
     "replica after the other, each out of the balancer meanwhile, and a phase is refused (exit status 5) while "
     "something that is known to use the authority has not got what the phase before calls for.\n"
     "back takes the last phase back; nothing of it is left then. Without a phase those that are still to come are "
     "taken one after the other. Without an authority, or with status, the phase of each is shown.\n"
     "With three members each restart leaves no failure to spare, which --accept-budget 0 accepts."},
    {"pki", "revoke", NULL, "FILE", 1, 1, DETAILED, ha_cmd_pki_revoke, "revokes a certificate",
     "pki revoke old-client.crt",
     "Puts the certificate in FILE (PEM) on the revocation list of the authority that signed it, and rolls the list "
     "out to what reads one, which is etcd. A certificate of the cluster's own is issued anew first. Kubernetes' API "
     "server reads no such lists: rotate its authority instead."},
    {"pki", "sign", NULL, "PURPOSE REQUEST [REPLICA]", 2, 3, 0, ha_cmd_pki_sign,
     "signs a certificate request that somebody else made",
     "pki sign kubelet node.csr demo-2 >node.crt\npki sign ingress ingress.csr -o json",
     "Prints the certificate and its chain. What it says comes from the certificate PURPOSE of the configuration and "
     "from the inventory; the request gives its key. A request for another subject, or for a name that the certificate "
     "is not to have, is refused, and so is one whose signature is not by its own key."},
    {"pki", "request", NULL, "[REPLICA]", 0, 1, 0, ha_cmd_pki_request,
     "makes keys and requests for an authority that is elsewhere", "pki request\npki request demo-1",
     "For every certificate that is due and whose authority is named in the setting external of the issuer. Prints the "
     "paths of the requests; keys stay beside them. What the authority answers is taken in with hactl pki import."},
    {"pki", "import", NULL, "CERTIFICATE...", 1, 6, 0, ha_cmd_pki_import,
     "takes in certificates that an authority elsewhere has signed", "pki import from-ca/*.crt",
     "Each file holds one certificate with its chain, its own first. It is taken in only if it belongs to a key that "
     "is "
     "waiting, is signed by the authority whose certificate is here, and says what it is wanted to say."},
    {"stage", "list", NULL, "", 0, 0, 0, ha_cmd_stage_list, "lists stages and pipelines", "stage list", ""},
    {"stage", "run", NULL, "NAME", 1, 1, DETAILED, ha_cmd_stage_run, "runs one stage, or a pipeline of your own",
     "stage run certificates\nstage run endpoint --dry-run",
     "Plans as up does and takes the steps of this stage only, whether or not the pipeline up has it. What is there "
     "already is not done again; what another stage would have to do first is not done.\n"
     "NAME may also be that of a pipeline of your own, one that is named for no verb (hactl.conf(5), STAGES AND "
     "PIPELINES): its stages run in its order, as one plan and one operation."},
    {"op", "list", NULL, "", 0, 0, 0, ha_cmd_op_list, "lists operations, the newest first", "op list", ""},
    {"op", "show", NULL, "[OPERATION]", 0, 1, 0, ha_cmd_op_show, "shows the journal of an operation",
     "op show\nop show 7-replica-add -o json", "Without a name: the unfinished one, else the newest."},
    {"op", "resume", NULL, "[OPERATION]", 0, 1, DETAILED, ha_cmd_op_resume, "goes on with the unfinished operation",
     "op resume",
     "Looks at what there is and plans from there; what was done is not done twice. Asking for the same change again "
     "does the same."},
    {"op", "abort", NULL, "[OPERATION]", 0, 1, DETAILED, ha_cmd_op_abort,
     "goes back to before the unfinished operation", "op abort --dry-run\nop abort",
     "Takes up the replica set of the generation before, as a new one, and plans towards it from what there is."},
    {"lock", "show", NULL, "", 0, 0, 0, ha_cmd_lock_show, "says who is changing the cluster", "lock show", ""},
    {"check", NULL, NULL, "[--warn DURATION] [--crit DURATION]", 0, 0, LIMITS, ha_cmd_check,
     "judges the cluster's health, for monitoring", "check\ncheck -o json\ncheck --warn 30d",
     "Judges plugins, the endpoint, quorum and tolerance, members, replicas, zones, even counts, leftovers, "
     "certificates "
     "and unfinished operations. The first line is the verdict. Exits with 0 when all is well, 10 for warnings, 9 when "
     "something is critical."},
    {"config", "check", NULL, "", 0, 0, 0, ha_cmd_config_check, "checks the configuration with every plugin's settings",
     "config check\n-c prod.conf config check",
     "A fault names file and line, and for a misspelt key what was probably meant."},
    {"config", "show", NULL, "", 0, 0, 0, ha_cmd_config_show, "prints every setting and where it comes from",
     "config show\nconfig show --set cluster.replicas=5", "Secrets are printed as (set)."},
    {"plugin", "list", NULL, "", 0, 0, 0, ha_cmd_plugin_list, "lists the plugins that the configuration uses",
     "plugin list", ""},
    {"plugin", "info", NULL, "NAME", 1, 1, 0, ha_cmd_plugin_info, "describes a plugin and its settings",
     "plugin info local\nplugin info ./mycloud.so", "NAME is the name of a plugin or, with a slash in it, its file."},
    {"version", NULL, NULL, "", 0, 0, 0, ha_cmd_version, "prints the versions of hactl and of its plugin ABI",
     "version", ""},
    {"help", NULL, NULL, "[COMMAND... | options | exit-codes]", 0, 2,
     HA_BIT(HA_OPTION_MDOC) | HA_BIT(HA_OPTION_COMPLETE), ha_cmd_help, "explains a command",
     "help\nhelp replica add\nhelp exit-codes", "The same as --help after the command."},
    {.noun = NULL},
};

static bool is_noun(const struct ha_command *command, const char *word)
{
    return strcmp(command->noun, word) == 0 || (command->alias != NULL && strcmp(command->alias, word) == 0);
}

static const struct ha_command *unknown_noun(const char *word, struct ha_error *error)
{
    const char *nouns[64] = {NULL}, *meant;
    size_t count = 0;

    for (const struct ha_command *command = ha_commands; command->noun != NULL && count < 62; command++) {
        if (count == 0 || strcmp(nouns[count - 1], command->noun) != 0)
            nouns[count++] = command->noun;
        if (command->alias != NULL)
            nouns[count++] = command->alias;
    }
    nouns[count] = NULL;
    meant = ha_did_you_mean(word, nouns);
    ha_fail(error, HA_EXIT_USAGE, "there is no command \"%s\"", word);
    if (meant != NULL)
        ha_advise(error, "did you mean \"%s\"?", meant);
    ha_advise(error, "hactl help");
    return NULL;
}

static const struct ha_command *unknown_verb(const char *noun, const char *verb, struct ha_error *error)
{
    const char *verbs[16] = {NULL}, *meant = NULL;
    char known[160] = "";
    size_t count = 0, used = 0;

    for (const struct ha_command *command = ha_commands; command->noun != NULL; command++)
        if (is_noun(command, noun) && command->verb != NULL && count < 15) {
            verbs[count++] = command->verb;
            if (used < sizeof known)
                used +=
                    (size_t)snprintf(known + used, sizeof known - used, "%s%s", used == 0 ? "" : ", ", command->verb);
        }
    if (verb != NULL)
        meant = ha_did_you_mean(verb, verbs);
    if (verb == NULL)
        ha_fail(error, HA_EXIT_USAGE, "%s wants a verb: %s", noun, known);
    else
        ha_fail(error, HA_EXIT_USAGE, "%s has no verb \"%s\"; it has %s", noun, verb, known);
    if (meant != NULL)
        ha_advise(error, "did you mean \"%s %s\"?", noun, meant);
    ha_advise(error, "hactl help %s", noun);
    return NULL;
}

const struct ha_command *ha_command_find(const char *const *words, int count, int *used, struct ha_error *error)
{
    bool noun_known = false;

    for (const struct ha_command *command = ha_commands; command->noun != NULL; command++) {
        if (!is_noun(command, words[0]))
            continue;
        noun_known = true;
        if (command->verb != NULL && (count < 2 || strcmp(command->verb, words[1]) != 0))
            continue;
        *used = command->verb != NULL ? 2 : 1;
        return command;
    }
    if (!noun_known)
        return unknown_noun(words[0], error);
    return unknown_verb(words[0], count > 1 ? words[1] : NULL, error);
}
