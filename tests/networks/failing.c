/* Loaded before the library of C: while the file that FAILING_WHILE names exists, sending, receiving and waiting fail with
 * ENOMEM. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int fails(void) {
    const char *name = getenv("FAILING_WHILE");
    int before = errno;
    int is_there = name && access(name, F_OK) == 0;
    errno = is_there ? ENOMEM : before;
    return is_there;
}

#define FAILING(result, name, parameters, arguments)                                                                \
    result name parameters {                                                                                         \
        static result(*real) parameters;                                                                             \
        if (fails()) return -1;                                                                                      \
        if (!real) real = (result(*) parameters)dlsym(RTLD_NEXT, #name);                                             \
        return real arguments;                                                                                       \
    }

FAILING(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
FAILING(int, recvmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout),
        (fd, messages, count, flags, timeout))
FAILING(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
FAILING(int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags), (fd, messages, count, flags))
FAILING(ssize_t, sendto,
        (int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length),
        (fd, data, size, flags, to, length))
#ifdef WAITING
FAILING(int, epoll_wait, (int fd, struct epoll_event *events, int most, int timeout), (fd, events, most, timeout))
#endif
