/* SPDX-License-Identifier: Apache-2.0 */
/* app/main.c — says its version; the program itself grows here. */
#include "version.h"

#include <stdio.h>

int main(void)
{
    return puts("larder " LARDER_VERSION) < 0;
}
