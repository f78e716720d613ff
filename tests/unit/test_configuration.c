/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/configuration.h"
#include "tests/unit/core_config.h"

#define NAME    "cluster = { name = \"demo\"; };\n"
#define PLUGINS "plugins = { cloud = { plugin = \"local\"; }; pki = { plugin = \"pki\"; }; };\n"
#define STAGES                                                                                           \
    "stages = {\n"                                                                                       \
    "  a = { steps = [\"address-reserve\"]; provides = [\"address\"]; };\n"                              \
    "  b = { steps = [\"authority-create\"]; needs = [\"address\"]; provides = [\"certificates\"]; };\n" \
    "  c = { steps = [\"address-reserve\", \"instance-create\"]; };\n"                                   \
    "};\n"

struct bad {
    const char *name;
    const char *text;
    const char *set;     /* optional */
    const char *says[4]; /* parts of the message; the file's name is written as @ */
};

static const struct bad bad_files[] = {
    {"no name", PLUGINS, NULL, {"@: ", "cluster.name is missing"}},
    {"bad name", "\ncluster = { name = \"Demo_1\"; };" PLUGINS, NULL, {"@:2: ", "\"Demo_1\"", "lower-case"}},
    {"long name", "cluster = { name = \"a23456789012345678901234567890123456789012\"; };", NULL, {"at most 40"}},
    {"misspelt key",
     "cluster = {\n  name = \"demo\";\n  replcas = 3;\n};\n" PLUGINS,
     NULL,
     {"@:3: ", "cluster.replcas", "did you mean \"replicas\"?"}},
    {"misspelt section", NAME "endpiont = { port = 1; };\n" PLUGINS, NULL, {"@:2: ", "did you mean \"endpoint\"?"}},
    {"key outside", NAME "replicas = 3;\n" PLUGINS, NULL, {"@:2: ", "did you mean \"cluster.replicas\"?"}},
    {"wrong type",
     "cluster = { name = \"demo\";\n replicas = \"3\"; };\n" PLUGINS,
     NULL,
     {"@:2: ", "cluster.replicas must be an integer"}},
    {"out of range", "cluster = { name = \"demo\";\n replicas = 8; };\n" PLUGINS, NULL, {"@:2: ", "is 8", "1 to 7"}},
    {"zero replicas", "cluster = { name = \"demo\"; replicas = 0; };\n" PLUGINS, NULL, {"@:1: ", "1 to 7"}},
    {"bad choice", NAME "endpoint = { mode = \"both\"; };\n" PLUGINS, NULL, {"@:2: ", "\"both\"", "auto|balancer"}},
    {"bad list",
     "cluster = { name = \"demo\"; zones = [1, 2]; };\n" PLUGINS,
     NULL,
     {"@:1: ", "element 1 is no string"}},
    {"list wanted", "cluster = { name = \"demo\"; zones = \"a\"; };\n" PLUGINS, NULL, {"@:1: ", "list of strings"}},
    {"bad duration", NAME "lock = { timeout = \"soon\"; };\n" PLUGINS, NULL, {"@:2: ", "\"soon\"", "30s"}},
    {"section no group", NAME "state = 3;\n" PLUGINS, NULL, {"@:2: ", "state must be a group"}},
    {"syntax", NAME "plugins = {\n  cloud = = 3;\n};\n", NULL, {"@:3: ", "syntax error"}},
    {"duplicate instance",
     NAME "plugins = {\n a = { plugin = \"x\"; };\n a = { plugin = \"y\"; };\n};\n",
     NULL,
     {"@:4: ", "duplicate"}},
    {"no plugins", NAME, NULL, {"@: ", "no plugin"}},
    {"instance without plugin",
     NAME "plugins = { cloud = {\n }; };\n",
     NULL,
     {"@:2: ", "plugins.cloud.plugin is missing"}},
    {"instance no group", NAME "plugins = { cloud = 3; };\n", NULL, {"@:2: ", "plugins.cloud must be a group"}},
    {"plugin no string", NAME "plugins = { cloud = { plugin = 3; }; };\n", NULL, {"@:2: ", "must be a string"}},
    {"instance name", NAME "plugins = { Cloud = { plugin = \"x\"; }; };\n", NULL, {"@:2: ", "\"Cloud\""}},
    {"include missing", NAME PLUGINS "@include \"nowhere.conf\"\n", NULL, {"@:3: ", "no file \"nowhere.conf\""}},
    {"include unquoted", NAME PLUGINS "@include nowhere\n", NULL, {"@:3: ", "@include \"file\""}},
    {"include itself", NAME PLUGINS "@include \"bad.conf\"\n", NULL, {"@:3: ", "includes go deeper"}},
    {"fault in an include",
     NAME PLUGINS "\n@include \"part.conf\"\n",
     NULL,
     {"part.conf:2: ", "did you mean \"endpoint\"?"}},
    {"set without value", NAME PLUGINS, "cluster.replicas", {"--set wants KEY=VALUE"}},
    {"set unknown", NAME PLUGINS, "cluster.replcas=3", {"--set: ", "did you mean \"cluster.replicas\"?"}},
    {"set no integer", NAME PLUGINS, "cluster.replicas=many", {"--set: ", "must be an integer, not \"many\""}},
    {"set out of range", NAME PLUGINS, "cluster.replicas=9", {"--set: ", "1 to 7"}},
    {"set of an unknown instance", NAME PLUGINS, "plugins.clod.zone=x", {"--set: ", "did you mean \"cloud\"?"}},
    {"set of stages", NAME PLUGINS, "stages.a.steps=x", {"--set: ", "in the file only"}},
    {"unknown step",
     NAME PLUGINS "stages = {\n x = {\n  steps = [\"adress-reserve\"]; }; };\n",
     NULL,
     {"@:5: ", "stage \"x\"", "did you mean \"address-reserve\"?"}},
    {"step twice in a stage",
     NAME PLUGINS "stages = { x = { steps = [\"member-add\", \"member-add\"]; }; };\n",
     NULL,
     {"@:3: ", "twice"}},
    {"stage without steps",
     NAME PLUGINS "stages = { x = { needs = []; }; };\n",
     NULL,
     {"@:3: ", "stages.x.steps is missing"}},
    {"unknown key of a stage",
     NAME PLUGINS "stages = { x = { step = [\"member-add\"]; }; };\n",
     NULL,
     {"@:3: ", "did you mean \"steps\"?"}},
    {"unknown instance of a stage",
     NAME PLUGINS "stages = { x = { steps = [\"member-add\"]; instance = \"pkj\"; }; };\n",
     NULL,
     {"@:3: ", "did you mean \"pki\"?"}},
    {"unknown stage",
     NAME PLUGINS STAGES "pipelines = {\n up = { stages = [\"d\"]; }; };\n",
     NULL,
     {"@:9: ", "pipeline \"up\"", "unknown stage \"d\""}},
    {"unknown stage of the packaged",
     NAME PLUGINS "pipelines = { up = { stages = [\"adress\"]; }; };\n",
     NULL,
     {"@:3: ", "did you mean \"address\"?"}},
    {"needs too early",
     NAME PLUGINS STAGES "pipelines = {\n\n up = { stages = [\"b\", \"a\"]; }; };\n",
     NULL,
     {"@:10: ", "stage \"b\" needs \"address\"", "stage \"a\" provides only after it"}},
    {"needs nobody",
     NAME PLUGINS STAGES "pipelines = { up = { stages = [\"b\"]; }; };\n",
     NULL,
     {"@:8: ", "stage \"b\" needs \"address\"", "no earlier stage provides; stage \"a\" would"}},
    {"step in two stages",
     NAME PLUGINS STAGES "pipelines = { up = { stages = [\"a\", \"c\"]; }; };\n",
     NULL,
     {"@:8: ", "address-reserve", "\"a\" and \"c\""}},
    {"stage twice",
     NAME PLUGINS STAGES "pipelines = { up = { stages = [\"a\", \"a\"]; }; };\n",
     NULL,
     {"@:8: ", "twice"}},
    {"misspelt given",
     NAME PLUGINS STAGES "pipelines = { up = { stages = [\"b\"]; given = [\"adress\"]; }; };\n",
     NULL,
     {"@:8: ", "did you mean \"address\"?"}},
    {"a pipeline for a misspelt verb",
     NAME PLUGINS STAGES "pipelines = { up = { stages = [\"a\"]; };\n replica-ad = { stages = [\"a\"]; }; };\n",
     NULL,
     {"@:9: ", "unknown verb \"replica-ad\"", "did you mean \"replica-add\"?"}},
    {"a pipeline for a short misspelt verb",
     NAME PLUGINS "pipelines = { dwon = { stages = [\"address\"]; }; };\n",
     NULL,
     {"@:3: ", "unknown verb \"dwon\"", "did you mean \"down\"?"}},
    {"a pipeline for a command that has none",
     NAME PLUGINS "pipelines = { endpoint-promote = { stages = [\"address\"]; }; };\n",
     NULL,
     {"@:3: ", "\"endpoint-promote\" is a command that uses the pipeline \"endpoint\""}},
    {"a pipeline with a stage's name",
     NAME PLUGINS "pipelines = { certificates = { stages = [\"address\"]; }; };\n",
     NULL,
     {"@:3: ", "\"certificates\" is the name of a stage"}},
    {"own pipeline without stages",
     NAME PLUGINS "pipelines = { mine = { stages = []; }; };\n",
     NULL,
     {"@:3: ", "pipeline \"mine\" has no stages"}},
    {"own pipeline needs too early",
     NAME PLUGINS "pipelines = {\n mine = { stages = [\"certificates\", \"address\"]; }; };\n",
     NULL,
     {"@:4: ", "pipeline \"mine\"", "stage \"address\" provides only after it"}},
    {"own pipeline with a wrong name",
     NAME PLUGINS "pipelines = { Mine = { stages = [\"address\"]; }; };\n",
     NULL,
     {"@:3: ", "pipelines.Mine: a name has lower-case letters"}},
    {"no up", NAME PLUGINS STAGES "pipelines = { down = { stages = [\"a\"]; }; };\n", NULL, {"no pipeline \"up\""}},
};

static void test_bad_files(void **state)
{
    (void)state;
    assert_non_null(scratch_file("part.conf", "# a comment\nendpiont = { port = 2; };\n"));
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
        const struct bad *bad = &bad_files[i];
        const char *path = scratch_file("bad.conf", bad->text);
        const char *sets[] = {bad->set, NULL};
        struct ha_configuration *configuration = NULL;
        struct ha_error error = {.status = HA_EXIT_DONE};

        assert_int_equal(ha_configuration_read(path, sets, &configuration, &error), -1);
        assert_null(configuration);
        if (error.status != HA_EXIT_USAGE)
            fail_msg("%s: status %d: %s", bad->name, error.status, error.what);
        for (size_t j = 0; j < 4 && bad->says[j] != NULL; j++) {
            char part[256];

            snprintf(part, sizeof part, "%s%s", bad->says[j][0] == '@' && bad->says[j][1] == ':' ? path : "",
                     bad->says[j] + (bad->says[j][0] == '@' && bad->says[j][1] == ':' ? 1 : 0));
            if (strstr(error.what, part) == NULL)
                fail_msg("%s: \"%s\" is not in: %s", bad->name, part, error.what);
        }
    }
}

static struct ha_configuration *read_good(const char *text, const char *const *sets)
{
    struct ha_configuration *configuration = NULL;
    struct ha_error error = {.status = HA_EXIT_DONE};

    if (ha_configuration_read(scratch_file("good.conf", text), sets, &configuration, &error) != 0)
        fail_msg("%s", error.what);
    return configuration;
}

static void test_minimal_file(void **state)
{
    struct ha_configuration *configuration = read_good(NAME PLUGINS, NULL);
    const struct ha_pipeline *up = ha_configuration_pipeline(configuration, "up");

    (void)state;
    assert_string_equal(configuration->cluster_name, "demo");
    assert_int_equal(configuration->cluster_replicas, 3);
    assert_null(configuration->cluster_zones[0]);
    assert_string_equal(configuration->state_directory, "/nonexistent/state/hactl/demo");
    assert_int_equal(configuration->lock_timeout_ms, 0);
    assert_int_equal(configuration->instance_count, 2);
    assert_string_equal(configuration->instances[1]->directory, "/nonexistent/state/hactl/demo/pki");
    assert_non_null(up);
    assert_int_equal(up->stage_count, 8);
    assert_string_equal(up->stages[0]->name, "address");
    assert_true(up->stages[4]->steps[HA_STEP_MEMBER_PROMOTE]);
    assert_ptr_equal(ha_configuration_pipeline_of_verb(configuration, "replica-add"), up);
    ha_configuration_free(configuration);
}

/* Every kind of step has its place in the packaged stages, under the name the
 * step itself gives. */
static void test_packaged_stages_have_every_step(void **state)
{
    struct ha_configuration *configuration = read_good(NAME PLUGINS "@include \"pipelines.conf\"\n", NULL);

    (void)state;
    for (int kind = 0; kind < HA_STEP_KINDS; kind++) {
        const struct ha_stage *stage = ha_configuration_stage(configuration, ha_step_types[kind].stage);

        if (stage == NULL || !stage->steps[kind])
            fail_msg("step %s is not in stage %s", ha_step_types[kind].name, ha_step_types[kind].stage);
    }
    ha_configuration_free(configuration);
}

static void test_local_conf(void **state)
{
    struct ha_configuration *configuration = NULL;
    struct ha_error error = {.status = HA_EXIT_DONE};
    char path[PATH_MAX];

    (void)state;
    snprintf(path, sizeof path, "%s/local.conf", getenv("HACTL_DATA_DIR"));
    if (ha_configuration_read(path, NULL, &configuration, &error) != 0)
        fail_msg("%s", error.what);
    assert_string_equal(configuration->cluster_zones[2], "c");
    assert_int_equal(configuration->instance_count, 4);
    ha_configuration_free(configuration);
}

static void test_sets(void **state)
{
    static const char *const sets[] = {"cluster.replicas=4",
                                       "cluster.replicas=5",
                                       "cluster.zones=x,y z",
                                       "state.directory=/var/lib/x",
                                       "plugins.lb.plugin=lb",
                                       "cluster.name=other",
                                       NULL};
    struct ha_configuration *configuration = read_good(NAME PLUGINS, sets);

    (void)state;
    assert_int_equal(configuration->cluster_replicas, 5);
    assert_string_equal(configuration->cluster_zones[2], "z");
    assert_null(configuration->cluster_zones[3]);
    assert_string_equal(configuration->state_directory, "/var/lib/x/other");
    assert_string_equal(ha_configuration_instance(configuration, "lb")->plugin, "lb");
    ha_configuration_free(configuration);
}

static void test_includes(void **state)
{
    struct ha_configuration *configuration;
    char where[300];

    (void)state;
    assert_int_equal(mkdir(scratch_path("sub"), 0700), 0);
    assert_non_null(
        scratch_file("sub/deeper.conf", "\ncluster = { name = \"deep\"; };\nstate = { directory = \"here\"; };"));
    assert_non_null(scratch_file("sub/cluster.conf", "/* \n@include \"not this\"\n*/\n"
                                                     "@include \"deeper.conf\" # beside this file\n"));
    configuration = read_good("@include \"sub/cluster.conf\"\n" PLUGINS, NULL);
    assert_string_equal(configuration->cluster_name, "deep");
    assert_string_equal(configuration->state_directory, scratch_path("sub/here/deep"));
    ha_source_text(configuration->core_settings[0].source, where, sizeof where);
    assert_non_null(strstr(where, "/sub/deeper.conf:2: "));
    ha_source_text(configuration->instances[0]->source, where, sizeof where);
    assert_non_null(strstr(where, "/good.conf:2: "));
    ha_configuration_free(configuration);
}

static void test_own_copy_of_pipelines_comes_first(void **state)
{
    struct ha_configuration *configuration;

    (void)state;
    assert_non_null(scratch_file("pipelines.conf",
                                 STAGES "pipelines = { up = { stages = [\"b\"]; given = [\"address\"]; };"
                                        " down = { stages = [\"a\"]; }; };\n"));
    configuration = read_good("@include \"pipelines.conf\"\n" NAME PLUGINS, NULL);
    assert_int_equal(configuration->stage_count, 3);
    assert_string_equal(ha_configuration_pipeline_of_verb(configuration, "down")->stages[0]->name, "a");
    assert_string_equal(ha_configuration_pipeline_of_verb(configuration, "plan")->stages[0]->name, "b");
    ha_configuration_free(configuration);
    assert_int_equal(unlink(scratch_path("pipelines.conf")), 0);
}

/* What is added to the packaged stages leaves `up` as it is. */
static void test_pipelines_of_ones_own(void **state)
{
    struct ha_configuration *configuration = read_good(
        NAME PLUGINS "pipelines = { mine = { stages = [\"instances\"]; given = [\"address\"]; };"
                     " down = { stages = [\"address\"]; }; plans = { stages = [\"address\", \"certificates\"]; }; };\n",
        NULL);
    const struct ha_pipeline *mine = ha_configuration_pipeline(configuration, "mine");

    (void)state;
    assert_int_equal(configuration->pipeline_count, 4);
    assert_non_null(mine);
    assert_true(ha_pipeline_is_own(mine));
    assert_int_equal(mine->stage_count, 1);
    assert_string_equal(mine->stages[0]->name, "instances");
    assert_true(ha_pipeline_is_own(ha_configuration_pipeline(configuration, "plans")));
    assert_false(ha_pipeline_is_own(ha_configuration_pipeline(configuration, "down")));
    assert_false(ha_pipeline_is_own(ha_configuration_pipeline(configuration, "up")));
    assert_int_equal(ha_configuration_pipeline_of_verb(configuration, "replica-add")->stage_count, 8);
    ha_configuration_free(configuration);
}

static const struct hactl_key plugin_keys[] = {
    {"colour", HACTL_KEY_STRING, 0, "grey", 0, 0, "grey|green", ""},
    {"count", HACTL_KEY_INTEGER, HACTL_KEY_REQUIRED, NULL, 1, 9, NULL, "How many."},
    {"loud", HACTL_KEY_BOOLEAN, 0, "true", 0, 0, NULL, ""},
    {"names", HACTL_KEY_STRING_LIST, 0, "a b", 0, 0, NULL, ""},
    {"file", HACTL_KEY_PATH, 0, NULL, 0, 0, NULL, ""},
    {NULL, 0, 0, NULL, 0, 0, NULL, NULL},
};

static void test_plugin_keys(void **state)
{
    static const char *const sets[] = {"plugins.cloud.loud=false", NULL};
    struct ha_error error = {.status = HA_EXIT_DONE};
    struct ha_configuration *configuration;
    struct hactl_conf *cloud;

    (void)state;
    setenv("HOME", "/home/somebody", 1);
    configuration = read_good(NAME "plugins = { cloud = { plugin = \"x\"; count = 4; file = \"~/key\"; }; };\n", sets);
    cloud = ha_configuration_instance(configuration, "cloud");
    assert_int_equal(ha_configuration_check_keys(configuration, cloud, plugin_keys, &error), 0);
    assert_string_equal(cloud->settings[0].string, "grey");
    assert_null(cloud->settings[0].source.file);
    assert_int_equal(cloud->settings[1].integer, 4);
    assert_int_equal(cloud->settings[1].source.line, 2);
    assert_int_equal(cloud->settings[2].integer, 0);
    assert_string_equal(cloud->settings[3].list[1], "b");
    assert_string_equal(cloud->settings[4].string, "/home/somebody/key");
    ha_configuration_free(configuration);
}

static void test_bad_plugin_keys(void **state)
{
    static const struct {
        const char *keys, *set, *says;
    } cases[] = {
        {"count = 1;\n color = \"grey\";", NULL,
         "good.conf:3: unknown setting plugins.cloud.color; did you mean \"colour\"?"},
        {"colour = \"grey\";", NULL, "good.conf:2: plugins.cloud.count is missing: How many."},
        {"count = 10;", NULL, "good.conf:2: plugins.cloud.count is 10; it can be 1 to 9: How many."},
        {"count = 1; loud = 1;", NULL, "good.conf:2: plugins.cloud.loud must be true or false"},
        {"count = 1;", "plugins.cloud.cont=2", "--set: unknown setting plugins.cloud.cont; did you mean \"count\"?"},
        {"count = 1;", "plugins.cloud.colour=red", "--set: plugins.cloud.colour is \"red\"; it can be grey|green"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *sets[] = {cases[i].set, NULL};
        struct ha_error error = {.status = HA_EXIT_DONE};
        struct ha_configuration *configuration;
        char text[400];

        snprintf(text, sizeof text, NAME "plugins = { cloud = { plugin = \"x\"; %s }; };\n", cases[i].keys);
        configuration = read_good(text, sets);
        assert_int_equal(ha_configuration_check_keys(configuration, configuration->instances[0], plugin_keys, &error),
                         -1);
        if (strstr(error.what, cases[i].says) == NULL)
            fail_msg("\"%s\" is not in: %s", cases[i].says, error.what);
        ha_configuration_free(configuration);
    }
}

static void test_discovery(void **state)
{
    struct ha_configuration *configuration = NULL;
    struct ha_error error = {.status = HA_EXIT_DONE};
    char before[PATH_MAX];

    (void)state;
    assert_non_null(getcwd(before, sizeof before));
    if (getenv("HACTL_DATA_DIR")[0] != '/') { /* relative to where we are now */
        char data[PATH_MAX * 2];

        snprintf(data, sizeof data, "%s/%s", before, getenv("HACTL_DATA_DIR"));
        setenv("HACTL_DATA_DIR", data, 1);
    }
    assert_non_null(scratch_file("hactl.conf", NAME PLUGINS));
    assert_int_equal(mkdir(scratch_path("below"), 0700), 0);
    assert_int_equal(chdir(scratch_path("below")), 0);
    if (ha_configuration_read(NULL, NULL, &configuration, &error) != 0)
        fail_msg("%s", error.what);
    assert_string_equal(configuration->file, scratch_path("hactl.conf"));
    ha_configuration_free(configuration);

    setenv("HACTL_CONFIG", "../other.conf", 1);
    configuration = NULL;
    assert_int_equal(ha_configuration_read(NULL, NULL, &configuration, &error), -1);
    assert_string_equal(error.what, "cannot read ../other.conf: No such file or directory");
    unsetenv("HACTL_CONFIG");

    error.status = HA_EXIT_DONE;
    if (geteuid() == 0) {
        assert_int_equal(chown(scratch_path("hactl.conf"), 65534, 65534), 0);
        assert_int_equal(ha_configuration_read(NULL, NULL, &configuration, &error), -1);
        assert_non_null(strstr(error.what, "belongs to user 65534"));
    }
    assert_int_equal(chdir(before), 0);
}

static void test_did_you_mean(void **state)
{
    static const char *const candidates[] = {"zone", "zones", "replicas", "name", NULL};

    (void)state;
    assert_string_equal(ha_did_you_mean("zome", candidates), "zone");
    assert_string_equal(ha_did_you_mean("zoens", candidates), "zones");
    assert_string_equal(ha_did_you_mean("replica", candidates), "replicas");
    assert_null(ha_did_you_mean("project", candidates));
    assert_null(ha_did_you_mean("", candidates));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_minimal_file),
        cmocka_unit_test(test_packaged_stages_have_every_step),
        cmocka_unit_test(test_local_conf),
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_includes),
        cmocka_unit_test(test_own_copy_of_pipelines_comes_first),
        cmocka_unit_test(test_pipelines_of_ones_own),
        cmocka_unit_test(test_plugin_keys),
        cmocka_unit_test(test_bad_plugin_keys),
        cmocka_unit_test(test_discovery),
        cmocka_unit_test(test_did_you_mean),
    };

    return cmocka_run_group_tests_name("configuration", tests, scratch_make, scratch_remove);
}
