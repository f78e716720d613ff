/* SPDX-License-Identifier: Apache-2.0 */
/* It serves members that nothing runs. */
#include <hactl/plugin.h>

static const struct hactl_member_ops faulty_member;
#define PLUGIN_PAYLOAD NULL
#define PLUGIN_MEMBER  &faulty_member
#include "tests/faulty/sound.h"

static int faulty_list(void *self, struct hactl_call *call, const struct hactl_group_want *want)
{
    (void)self;
    (void)call;
    (void)want;
    return HACTL_OK;
}

static int faulty_add(void *self, struct hactl_call *call, const struct hactl_group_want *want,
                      const struct hactl_replica *replica)
{
    (void)replica;
    return faulty_list(self, call, want);
}

static int faulty_change(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *id)
{
    (void)id;
    return faulty_list(self, call, want);
}

static const struct hactl_member_ops faulty_member = {
    sizeof faulty_member, faulty_list, faulty_add, faulty_change, faulty_change, faulty_change, NULL,
};
