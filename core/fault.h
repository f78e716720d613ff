/* SPDX-License-Identifier: Apache-2.0 */
/* Where the crash tests strike. HACTL_FAULT_POINT=N in the environment kills
 * hactl with SIGKILL at the Nth point that it passes; HACTL_FAULT_COUNT=FILE
 * appends a line for each point passed. Neither is set outside the tests. */
#ifndef HACTL_CORE_FAULT_H
#define HACTL_CORE_FAULT_H

void ha_fault_point(const char *where);

#endif
