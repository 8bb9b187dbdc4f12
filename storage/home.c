/* SPDX-License-Identifier: Apache-2.0 */
/* storage/home.c — folders and renames. */
#include "storage/home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "platform/log.h"
#include "platform/rc.h"
#include "platform/start.h"

static const struct {
    const char *name, *damaged, *faults;
} parts[HOME_PARTS] = {
    [HOME_ENTRIES] = {"entries", "entries.damaged", "faults"},
    [HOME_CODES] = {"codes", "codes.damaged", "faults.codes"},
};

static const char *const environment_files[] = {"data.mdb", "lock.mdb"};

int home_open(struct home *home, const char *data_folder)
{
    char path[FILE_PATH_MAX];
    *home = (struct home){.lock = -1};
    int rc = file_join(home->folder, data_folder, "");
    if (rc == RC_OK) rc = file_join(home->entries, data_folder, "entries");
    if (rc == RC_OK) rc = file_join(home->codes, data_folder, "codes");
    if (rc == RC_OK) rc = file_join(path, data_folder, "lock");
    if (rc != RC_OK) return rc;
    rc = file_make_folder(data_folder, 0700);
    if (rc == RC_OK) rc = file_lock(path, &home->lock);
    if (rc == RC_OK) rc = file_make_folder(home->entries, 0700);
    if (rc == RC_OK) (void)file_make_folder(home->codes, 0700); /* the exact tier does without */
    if (rc == RC_OK && access(home->entries, W_OK) != 0) rc = file_from_errno(errno);
    home->read_only = rc == RC_READ_ONLY || rc == RC_DENIED;
    return home->read_only ? RC_OK : rc;
}

void home_close(struct home *home)
{
    if (home->lock >= 0) close(home->lock);
    home->lock = -1;
}

/* Only files that are ours by name: a folder with others in it stays, and so does what is in it. */
static int remove_environment(const char *folder)
{
    char path[FILE_PATH_MAX];
    for (size_t i = 0; i < sizeof environment_files / sizeof environment_files[0]; i++)
        if (file_join(path, folder, environment_files[i]) == RC_OK) unlink(path);
    return rmdir(folder) == 0 ? RC_OK : file_from_errno(errno);
}

static int drop_damaged(struct home *home, enum home_part part)
{
    char damaged[FILE_PATH_MAX];
    int rc = file_join(damaged, home->folder, parts[part].damaged);
    return rc == RC_OK ? remove_environment(damaged) : rc;
}

int home_drop_damaged(struct home *home)
{
    int entries = drop_damaged(home, HOME_ENTRIES), codes = drop_damaged(home, HOME_CODES);
    return entries == RC_OK ? entries : codes;
}

int home_empty_codes(struct home *home)
{
    (void)remove_environment(home->codes);
    return file_make_folder(home->codes, 0700); /* which stays when there are files of others in it */
}

static int faults_path(const struct home *home, enum home_part part, char path[FILE_PATH_MAX])
{
    return file_join(path, home->folder, parts[part].faults);
}

void home_watch(const struct home *home, enum home_part part, const void *map, size_t size)
{
    char path[FILE_PATH_MAX];
    if (home->read_only || faults_path(home, part, path) != RC_OK) return;
    int rc = start_watch_range(parts[part].name, map, size, path);
    if (rc != RC_OK)
        log_warn("store", "faults in %s/%s would not be recorded: %s", home->folder, parts[part].name, rc_name(rc));
}

bool home_faulted(const struct home *home, enum home_part part, uint64_t wall_us)
{
    char path[FILE_PATH_MAX];
    uint64_t window = HOME_FAULT_MINUTES * UINT64_C(60000000);
    if (faults_path(home, part, path) != RC_OK) return false;
    return start_faults_recorded(path, parts[part].name, wall_us > window ? wall_us - window : 0) >= HOME_FAULTS;
}

int home_move_aside(struct home *home, enum home_part part)
{
    char damaged[FILE_PATH_MAX];
    const char *folder = part == HOME_CODES ? home->codes : home->entries;
    int rc = file_join(damaged, home->folder, parts[part].damaged);
    if (rc != RC_OK) return rc;
    if (home->read_only) return RC_READ_ONLY;
    rc = drop_damaged(home, part);
    if (rc != RC_OK && rc != RC_NOT_FOUND) return rc;
    if (rename(folder, damaged) != 0) return file_from_errno(errno);
    if (faults_path(home, part, damaged) == RC_OK) unlink(damaged); /* they were the old one's */
    rc = file_make_folder(folder, 0700);
    return rc == RC_OK ? file_sync_folder(home->folder) : rc; /* else a power cut could bring the damaged one back */
}
