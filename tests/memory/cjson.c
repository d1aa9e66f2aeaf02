/* In the build with MemorySanitizer only: cJSON, which Debian compiled without it, gets memory that
 * counts as written, so that what it writes there itself is not taken for what nobody wrote.
 */
#include <stdlib.h>

#include <cjson/cJSON.h>

static void *written(size_t bytes)
{
    return calloc(1, bytes);
}

__attribute__((constructor)) static void use(void)
{
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = written, .free_fn = free});
}
