/* SPDX-License-Identifier: Apache-2.0 */
/* Access tokens, and the ways to get one: service account key, refresh token, impersonation, metadata server. */
#ifndef GCE_EMULATOR_AUTH_H
#define GCE_EMULATOR_AUTH_H

#include "emulator.h"
#include "server.h"

#define EM_SERVICE_ACCOUNT "emulator@emulated.iam.gserviceaccount.com"
#define EM_DEFAULT_ACCOUNT "123456789012-compute@developer.gserviceaccount.com"

/* Makes the key and writes token, service-account.json, authorized-user.json and impersonated.json into the directory.
 * false with a line on stderr. */
bool em_auth_start(const char *directory, int port);
void em_auth_end(void);

/* Who the header's token belongs to, or NULL. */
const char *em_auth_user(const char *authorization);
/* A new token; borrowed. */
const char *em_auth_issue(const char *user);
/* An identity token in form only. Caller frees. */
char *em_auth_id_token(const char *audience);
unsigned em_auth_lifetime_s(void);
void em_auth_set_lifetime_s(unsigned lifetime_s);
/* No token that was given out is good any more; the token file gets a new one if `renew`. */
void em_auth_revoke(bool renew);

/* POST /token */
void em_auth_token(struct em_connection *connection);
/* POST /v1/projects/-/serviceAccounts/ACCOUNT:generateAccessToken */
void em_auth_impersonate(struct em_connection *connection);

#endif
