/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the pki plugin share: an instance under the fake host with
 * three replicas, files, and judges: openssl(1) and, where it is installed,
 * certtool(1). */
#ifndef HACTL_TESTS_PKI_RIG_H
#define HACTL_TESTS_PKI_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plugins/pki/pki.h"
#include "tests/support/fake_host.h"

#define EXTERNAL          "127.81.0.100"
#define CERTIFICATE_COUNT 45 /* 4 authorities, 2 of the cluster, 13 of each replica */

extern char top[64], directory[96];
extern struct hactl_call *call; /* the last one */
extern void *self;
extern const char *extra_names[4];
extern struct hactl_cluster cluster;
extern struct hactl_replica replicas[3];
extern struct hactl_inventory inventory;
extern char prints[2][65536];

struct hactl_call *fresh_call(void);
void open_with(const struct fake_setting *settings);
int setup(void **state);
int teardown(void **state);
int authorities(void);
int issue(const char *replica);
void make_all(void);
void list_all(void);
const struct hactl_certificate *listed(const char *purpose, const char *replica);
void assert_all_ready(void);
void assert_not_ready(const char *purpose, const char *replica, const char *reason);
void assert_said(const char *words);
const char *path_of(const char *relative);
char *slurp(const char *path);
void spill(const char *path, const char *content, mode_t mode);
unsigned mode_of(const char *relative);
bool there(const char *relative);
const char *print_tree(unsigned which);
int run_program(const char *const *argv);
int openssl_says(const char *authority, const char *leaf, const char *purpose, const char *address);
void judge_all(void);

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
