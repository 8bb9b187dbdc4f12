/* SPDX-License-Identifier: Apache-2.0 */
/* hal/storage_health.h — how worn the medium under a path is, as far as the medium says.
 *
 * Threads: any but the lane (reads files of the kernel, which may ask the device).
 * Fails:   RC_NOT_FOUND when no block device is behind the path (network, memory), RC_UNSUPPORTED when it is there and keeps no
 *          such counters; `device` is filled in then.
 * Source:  JESD84-B51 (eMMC): EXT_CSD DEVICE_LIFE_TIME_EST_TYP_A/B, PRE_EOL_INFO, as the kernel shows them under
 *          /sys/block/<device>/device/{life_time,pre_eol_info}.
 * Who calls: metrics, status and reports, hourly.
 */
#ifndef HAL_STORAGE_HEALTH_H
#define HAL_STORAGE_HEALTH_H

enum storage_reserve {
    STORAGE_RESERVE_UNKNOWN = 0,
    STORAGE_RESERVE_NORMAL = 1,
    STORAGE_RESERVE_WARNING = 2, /* 80 % of the spare blocks are used */
    STORAGE_RESERVE_URGENT = 3,  /* 90 % */
};

struct storage_health {
    char device[32]; /* "mmcblk0" */
    unsigned
        used_percent_max; /* of the expected life, upper bound of the step: 10, 20 … 100; 110: exceeded; 0: unknown */
    enum storage_reserve reserve;
};

int storage_health_read(const char *path, struct storage_health *out);

#endif
