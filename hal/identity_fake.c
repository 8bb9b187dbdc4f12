/* SPDX-License-Identifier: Apache-2.0 */
/* hal/identity_fake.c — says what the test set. */
#include "hal/identity.h"

#include <stdio.h>
#include <string.h>

#include "hal/fake.h"
#include "platform/rc.h"

struct answer {
    bool known;
    char text[IDENTITY_TEXT_MAX];
};
static struct answer model = {true, "Larder Test Board"}, serial = {true, "0000"},
                     machine = {true, "00000000000000000000000000000000"};

static void set(struct answer *a, const char *text)
{
    a->known = text != NULL;
    snprintf(a->text, sizeof a->text, "%s", text ? text : "");
}

void identity_fake_set(const char *new_model, const char *new_serial, const char *new_machine)
{
    set(&model, new_model);
    set(&serial, new_serial);
    set(&machine, new_machine);
}

static int say(const struct answer *a, char *text, size_t capacity)
{
    int size = snprintf(text, capacity, "%s", a->text);
    if (!a->known) return RC_NOT_FOUND;
    return (size_t)size < capacity ? RC_OK : RC_TOO_LARGE;
}

int identity_model(char *text, size_t capacity)
{
    return say(&model, text, capacity);
}

int identity_serial(char *text, size_t capacity)
{
    return say(&serial, text, capacity);
}

int identity_machine(char *text, size_t capacity)
{
    return say(&machine, text, capacity);
}
