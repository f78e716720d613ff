/* SPDX-License-Identifier: Apache-2.0 */
/* Puts a key at one of the members until one acknowledges it:
 * first_write CA CERTIFICATE KEY ADDRESS... */
#include <curl/curl.h>
#include <time.h>

#include <stdio.h>

static size_t drop(char *bytes, size_t one, size_t count, void *context)
{
    (void)bytes, (void)context;
    return one * count;
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    CURL *curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_CAINFO, argv[1]);
    curl_easy_setopt(curl, CURLOPT_SSLCERT, argv[2]);
    curl_easy_setopt(curl, CURLOPT_SSLKEY, argv[3]);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 500L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "{\"key\":\"YmVuY2g=\",\"value\":\"MQ==\"}");
    for (int attempt = 0; attempt < 4000; attempt++) {
        char url[128];
        long status = 0;
        snprintf(url, sizeof url, "https://%s:2379/v3/kv/put", argv[4 + attempt % (argc - 4)]);
        curl_easy_setopt(curl, CURLOPT_URL, url);
        if (curl_easy_perform(curl) == CURLE_OK &&
            curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status == 200) {
            curl_easy_cleanup(curl);
            return 0;
        }
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    return 1;
}
