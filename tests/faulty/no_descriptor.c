/* SPDX-License-Identifier: Apache-2.0 */
int faulty_nothing(void);

int faulty_nothing(void)
{
    return 0;
}
