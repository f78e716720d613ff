/* SPDX-License-Identifier: Apache-2.0 */
/* Every plugin of tests/faulty is refused, or its answer is, with a message
 * that says what is wrong, with which file, named where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/call.h"
#include "core/log.h"
#include "core/plugins.h"
#include "tests/unit/core_config.h"

/* A copy of a plugin of tests/faulty in the scratch directory. */
static const char *copy(const char *name, mode_t mode)
{
    const char *build = getenv("top_builddir"), *faulty = getenv("HACTL_FAULTY_DIR");
    char from[PATH_MAX], to[PATH_MAX], *content = NULL;
    size_t size = 0;

    if (faulty != NULL)
        snprintf(from, sizeof from, "%s/%s.so", faulty, name);
    else
        snprintf(from, sizeof from, "%s/tests/faulty/.libs/%s.so", build == NULL ? "." : build, name);
    snprintf(to, sizeof to, "%s.so", name);
    if (ha_file_read(from, 16u << 20, &content, &size) != 0)
        fail_msg("cannot read %s", from);
    assert_int_equal(ha_file_replace(scratch_path(to), content, size, mode, false), 0);
    free(content);
    return scratch_path(to);
}

static int open_text(const char *text, struct ha_configuration **configuration, struct ha_plugins **plugins,
                     struct ha_error *error)
{
    memset(error, 0, sizeof *error);
    *configuration = NULL;
    *plugins = NULL;
    if (ha_configuration_read(scratch_file("it.conf", text), NULL, configuration, error) != 0)
        fail_msg("%s", error->what);
    return ha_plugins_open(*configuration, plugins, error);
}

static int open_one(const char *plugin, struct ha_configuration **configuration, struct ha_plugins **plugins,
                    struct ha_error *error)
{
    char text[PATH_MAX + 200];

    snprintf(text, sizeof text, "cluster = { name = \"demo\"; };\nplugins = {\n  it = { plugin = \"%s\"; };\n};\n",
             plugin);
    return open_text(text, configuration, plugins, error);
}

static void assert_says(const char *name, const struct ha_error *error, const char *part)
{
    if (part != NULL && strstr(error->what, part) == NULL)
        fail_msg("%s: \"%s\" is not in: %s", name, part, error->what);
}

/* Refused with the plugin's file, the configuration's line and these parts. */
static void assert_refused(const char *name, const char *plugin, enum ha_exit status, const char *part,
                           const char *other_part)
{
    struct ha_configuration *configuration;
    struct ha_plugins *plugins;
    struct ha_error error;

    if (open_one(plugin, &configuration, &plugins, &error) == 0)
        fail_msg("%s was accepted", name);
    assert_null(plugins);
    if (error.status != status)
        fail_msg("%s: status %d: %s", name, error.status, error.what);
    assert_says(name, &error, "it.conf:3: ");
    assert_says(name, &error, plugin);
    assert_says(name, &error, part);
    assert_says(name, &error, other_part);
    ha_configuration_free(configuration);
}

struct faulty {
    const char *name;
    enum ha_exit status;
    const char *part, *other_part;
};

static void test_faulty_descriptors(void **state)
{
    static const struct faulty cases[] = {
        {"other_major", HA_EXIT_PLUGIN, "built for plugin ABI 7.3", "this hactl has 0.4"},
        {"newer_minor", HA_EXIT_PLUGIN, "built for plugin ABI 0.5", "this hactl has 0.4"},
        {"short_struct", HA_EXIT_PLUGIN, "struct_size", "plugin ABI 0.4 has"},
        {"long_struct", HA_EXIT_PLUGIN, "struct_size", "an object of"},
        {"missing_operation", HA_EXIT_PLUGIN, "lacks what is mandatory in the kind payload", ": render"},
        {"short_table", HA_EXIT_PLUGIN, "kind payload", ": probe"},
        {"no_kind", HA_EXIT_PLUGIN, "serves no kind", NULL},
        {"no_open", HA_EXIT_PLUGIN, "mandatory in every plugin: open", NULL},
        {"no_name", HA_EXIT_PLUGIN, "has no name", NULL},
        {"no_descriptor", HA_EXIT_PLUGIN, "has no descriptor", NULL},
        {"function_descriptor", HA_EXIT_PLUGIN, "has no descriptor", "is no data"},
        {"undefined_symbol", HA_EXIT_PLUGIN, "cannot be loaded", "faulty_nowhere"},
        {"member_without_payload", HA_EXIT_PLUGIN, "kind member without the kind payload", NULL},
        {"duplicate_key", HA_EXIT_PLUGIN, "\"colour\" twice", NULL},
        {"open_fails", HA_EXIT_DENIED, "no key for it in its pocket", "instance \"it\""},
        {"fails_without_text", HA_EXIT_FAILED, "quota (the plugin gave no reason)", NULL},
        {"open_pending", HA_EXIT_PLUGIN, "\"pending\" is no answer to open", NULL},
        {"unknown_code", HA_EXIT_PLUGIN, "answered -77", NULL},
        {"undeclared_key", HA_EXIT_PLUGIN, "got nothing, as it should be", NULL},
    };

    (void)state;
    ha_log_level_set((enum hactl_log_level) - 1); /* undeclared_key is told off aloud */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_refused(cases[i].name, copy(cases[i].name, 0644), cases[i].status, cases[i].part, cases[i].other_part);
    ha_log_level_set(HACTL_LOG_WARNING);
}

static void test_faulty_files(void **state)
{
    const char *path, *source = getenv("top_srcdir");
    char from[PATH_MAX], *text = NULL;
    unsigned char machine[2] = {0xfe, 0xca};
    size_t size;
    int fd;

    (void)state;
    snprintf(from, sizeof from, "%s/tests/faulty/not_elf.txt", source == NULL ? "." : source);
    assert_int_equal(ha_file_read(from, 1000, &text, &size), 0);
    assert_refused("not ELF", scratch_file("not_elf.so", text), HA_EXIT_PLUGIN, "is not a shared object", NULL);
    free(text);
    assert_refused("empty", scratch_file("empty.so", ""), HA_EXIT_PLUGIN, "is not a shared object", NULL);
    assert_refused("cut short", scratch_file("short.so", "\177ELF"), HA_EXIT_PLUGIN, "is not a shared object", NULL);
    /* The headers are there, what they speak of is not: mapping it would end in a bus error. */
    for (off_t whole = 200; whole < 16000; whole *= 3) {
        path = copy("sound", 0600);
        assert_int_equal(truncate(path, whole), 0);
        assert_refused("cut short", path, HA_EXIT_PLUGIN, "is not whole", "cut short at");
    }
    assert_int_equal(mkdir(scratch_path("directory.so"), 0700), 0);
    assert_refused("directory", scratch_path("directory.so"), HA_EXIT_PLUGIN, "is not a regular file", NULL);
    assert_int_equal(mkfifo(scratch_path("fifo.so"), 0600), 0);
    assert_refused("FIFO", scratch_path("fifo.so"), HA_EXIT_PLUGIN, "is not a regular file", NULL);
    assert_refused("missing", scratch_path("nowhere.so"), HA_EXIT_USAGE, "No such file", NULL);

    path = copy("sound", 0600);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, machine, sizeof machine, offsetof(Elf64_Ehdr, e_machine)), sizeof machine);
    close(fd);
    assert_refused("other machine", path, HA_EXIT_PLUGIN, "another machine", "ELF machine 51966");
}

static void test_foreign_files(void **state)
{
    const char *path;

    (void)state;
    path = copy("sound", 0600);
    assert_int_equal(chmod(path, 0622), 0);
    assert_refused("writable by others", path, HA_EXIT_PLUGIN, "file can be written by others", "0622");
    assert_int_equal(chmod(path, 0660), 0);
    assert_refused("writable by the group", path, HA_EXIT_PLUGIN, "file can be written by others", "0660");
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(chmod(scratch, 01777), 0);
    assert_refused("directory writable", path, HA_EXIT_PLUGIN, "directory can be written by others", "1777");
    assert_int_equal(chmod(scratch, 0700), 0);
}

/* Whoever may rename a directory further up may put another file there. */
static void test_foreign_parents(void **state)
{
    struct ha_configuration *configuration;
    struct ha_plugins *plugins;
    struct ha_error error;
    char path[PATH_MAX];

    (void)state;
    assert_int_equal(mkdir(scratch_path("outer"), 0700), 0);
    assert_int_equal(mkdir(scratch_path("outer/inner"), 0700), 0);
    snprintf(path, sizeof path, "%s", scratch_path("outer/inner/sound.so"));
    assert_int_equal(rename(copy("sound", 0600), path), 0);
    assert_int_equal(chmod(scratch_path("outer"), 0777), 0);
    assert_refused("parent writable", path, HA_EXIT_PLUGIN, "parent directory can be written by others", "0777");
    assert_int_equal(chmod(scratch_path("outer"), 01777), 0); /* as /tmp */
    assert_int_equal(chmod(scratch_path("outer/inner"), 0770), 0);
    if (open_one(path, &configuration, &plugins, &error) != 0)
        fail_msg("%s", error.what);
    ha_plugins_close(plugins);
    ha_configuration_free(configuration);
}

static void test_wrong_owner(void **state)
{
    const char *path = copy("sound", 0600);

    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can give files away */
    assert_int_equal(chown(path, 65534, 65534), 0);
    assert_refused("wrong owner", path, HA_EXIT_PLUGIN, "belongs to user 65534", NULL);
    assert_int_equal(unlink(path), 0);
}

static void test_duplicate_name(void **state)
{
    struct ha_configuration *configuration;
    struct ha_plugins *plugins;
    struct ha_error error;
    char text[PATH_MAX * 4];

    (void)state;
    snprintf(text, sizeof text,
             "cluster = { name = \"demo\"; };\nplugins = {\n  one = { plugin = \"%s\"; };\n"
             "  two = { plugin = \"%s\"; };\n  three = {\n    plugin = \"%s\"; };\n};\n",
             copy("sound", 0600), copy("sound", 0600), copy("duplicate_name", 0600));
    assert_int_equal(open_text(text, &configuration, &plugins, &error), -1);
    assert_int_equal(error.status, HA_EXIT_PLUGIN);
    assert_says("duplicate", &error, "it.conf:6: ");
    assert_says("duplicate", &error, "duplicate_name.so calls itself \"sound\", and so does ");
    assert_says("duplicate", &error, "/sound.so");
    ha_configuration_free(configuration);
}

/* ---- a sound one, and answers that break the contract */

static int run_ports(struct hactl_call *call)
{
    return call->instance->plugin->descriptor->payload->ports(call->instance->self, call);
}

static void test_sound(void **state)
{
    struct ha_configuration *configuration;
    struct ha_plugins *plugins;
    struct ha_instance *second = NULL;
    struct hactl_call *call;
    struct ha_error error;

    (void)state;
    if (open_one(copy("sound", 0600), &configuration, &plugins, &error) != 0)
        fail_msg("%s", error.what);
    assert_int_equal(plugins->instance_count, 1);
    assert_ptr_equal(ha_plugins_instance(plugins, "it"), plugins->instances[0]);
    assert_ptr_equal(ha_plugins_of_kind(plugins, HA_KIND_PAYLOAD, 0), plugins->instances[0]);
    assert_null(ha_plugins_of_kind(plugins, HA_KIND_PAYLOAD, 1));
    assert_null(ha_plugins_of_kind(plugins, HA_KIND_CLOUD, 0));
    assert_false(ha_offers(plugins->plugins[0]->descriptor, check));
    assert_true(ha_offers(plugins->plugins[0]->descriptor, payload));
    assert_int_equal(ha_instance_open(plugins->instances[0], &second, &error), 0);
    call = ha_call_new(second, "ports", 1000);
    call->run = run_ports;
    assert_int_equal(ha_call_wait(call), HACTL_OK);
    assert_int_equal(call->port_count, 1);
    assert_string_equal(call->ports[0].name, "sound");
    ha_call_free(call);
    ha_instance_close(second);
    ha_plugins_close(plugins);
    ha_configuration_free(configuration);
}

static void test_faulty_answers(void **state)
{
    static const struct {
        const char *name;
        bool may_pend;
        const char *says;
    } cases[] = {
        {"emits_short_record", false, "a record port of 0 bytes where ABI 0.4 has"},
        {"emits_null_string", false, "a record port without name"},
        {"emits_bad_enum", false, "a record backend with healthy = 9"},
        {"emits_latin1", false, "a record port whose name is not plain UTF-8"},
        {"emits_control", false, "a record port whose name is not plain UTF-8"},
        {"emits_long_name", false, "a record port whose name has 64 bytes; 63 are the most"},
        {"emits_long_token", true, "a token that is too long"},
        {"ignores_refusal", false, "a record backend with healthy = 9"},
        {"pending_list", false, "\"pending\" is no answer to ports"},
        {"pending_without_token", true, "\"pending\" without a token"},
        {"pending_without_poll", true, "\"pending\" and has no operation poll"},
        {"unread_without_reason", false, "could not be read, and not why"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ha_configuration *configuration;
        struct ha_plugins *plugins;
        struct hactl_call *call;
        struct ha_error error;

        if (open_one(copy(cases[i].name, 0600), &configuration, &plugins, &error) != 0)
            fail_msg("%s", error.what);
        call = ha_call_new(plugins->instances[0], "ports", 1000);
        call->run = run_ports;
        call->may_pend = cases[i].may_pend;
        assert_int_equal(ha_call_wait(call), HACTL_E_INTERNAL);
        if (strstr(call->text, cases[i].says) == NULL)
            fail_msg("%s: \"%s\" is not in: %s", cases[i].name, cases[i].says, call->text);
        ha_call_free(call);
        ha_plugins_close(plugins);
        ha_configuration_free(configuration);
    }
}

static void test_names(void **state)
{
    struct ha_error error = {.status = HA_EXIT_DONE};
    char *path = NULL;

    (void)state;
    copy("sound", 0600);
    ha_plugin_directory_set(scratch);
    assert_int_equal(ha_plugin_path("sound", &path, &error), 0);
    assert_string_equal(path, scratch_path("sound.so"));
    free(path);
    assert_int_equal(ha_plugin_path("sonud", &path, &error), -1);
    assert_int_equal(error.status, HA_EXIT_USAGE);
    assert_says("misspelt", &error, "no plugin \"sonud\" in /tmp/hactl-test-");
    assert_string_equal(error.next, "did you mean \"sound\"?");
    ha_plugin_directory_set(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faulty_descriptors),
        cmocka_unit_test(test_faulty_files),
        cmocka_unit_test(test_foreign_files),
        cmocka_unit_test(test_foreign_parents),
        cmocka_unit_test(test_wrong_owner),
        cmocka_unit_test(test_duplicate_name),
        cmocka_unit_test(test_sound),
        cmocka_unit_test(test_faulty_answers),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests_name("loader", tests, scratch_make, scratch_remove);
}
