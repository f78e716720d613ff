/* SPDX-License-Identifier: Apache-2.0 */
/* The right name on the wrong thing. */
int hactl_plugin(void) __attribute__((visibility("default")));

int hactl_plugin(void)
{
    return 0;
}
