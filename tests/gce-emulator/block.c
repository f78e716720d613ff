/* SPDX-License-Identifier: Apache-2.0 */
#include "block.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "store.h"

struct device {
    uint64_t id; /* of the disk */
    char path[32];
    struct device *next;
};

static struct device *devices;

static char *file_of(const struct em_resource *disk)
{
    return em_format("%s/machines/disk-%llu", em_options.directory, (unsigned long long)disk->id);
}

static struct device *find(uint64_t id)
{
    struct device *device = devices;

    while (device != NULL && device->id != id) {
        device = device->next;
    }
    return device;
}

static int open_file(const struct em_resource *disk)
{
    char *path = file_of(disk);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd >= 0 && ftruncate(fd, (off_t)em_number(disk->json, "sizeGb", 10) << 30) != 0) {
        close(fd);
        fd = -1;
    }
    free(path);
    return fd;
}

/* Somebody else may take the free one first; then there is a next one. */
static bool take_loop(int file, char *path, size_t size)
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), number, fd = -1;
    bool good = false;

    for (int tries = 0; control >= 0 && tries < 20 && !good; tries++) {
        number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0) {
            break;
        }
        snprintf(path, size, "/dev/loop%d", number);
        if (access(path, F_OK) != 0) {
            (void)!mknod(path, S_IFBLK | 0600, makedev(7, (unsigned)number));
        }
        fd = open(path, O_RDWR | O_CLOEXEC);
        good = fd >= 0 && ioctl(fd, LOOP_SET_FD, file) == 0;
        if (fd >= 0) {
            close(fd);
        }
    }
    if (control >= 0) {
        close(control);
    }
    return good;
}

bool em_block_attach(const struct em_resource *disk, unsigned *major_number, unsigned *minor_number)
{
    struct device *device = find(disk->id);
    struct stat status;

    if (device == NULL) {
        int file = open_file(disk);

        device = em_alloc(sizeof(*device));
        device->id = disk->id;
        if (file < 0 || !take_loop(file, device->path, sizeof(device->path))) {
            em_log(0, "%s: no loop device: %s", disk->path, strerror(errno));
            close(file);
            free(device);
            return false;
        }
        close(file);
        device->next = devices;
        devices = device;
    }
    if (stat(device->path, &status) != 0) {
        return false;
    }
    *major_number = major(status.st_rdev);
    *minor_number = minor(status.st_rdev);
    return true;
}

static void release(struct device *device)
{
    struct device **place = &devices;
    int fd = open(device->path, O_RDWR | O_CLOEXEC);

    /* It goes when the last mount of it goes, which may be a moment after the machine. */
    if (fd >= 0) {
        (void)ioctl(fd, LOOP_CLR_FD, 0);
        close(fd);
    }
    while (*place != device) {
        place = &(*place)->next;
    }
    *place = device->next;
    free(device);
}

void em_block_detach(const struct em_resource *disk)
{
    struct device *device = find(disk->id);

    if (device != NULL) {
        release(device);
    }
}

void em_block_remove(const struct em_resource *disk)
{
    char *path = file_of(disk);

    em_block_detach(disk);
    unlink(path);
    free(path);
}

void em_block_end(void)
{
    while (devices != NULL) {
        release(devices);
    }
}
