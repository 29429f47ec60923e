//go:build ignore

// The bare loop that everybody is compared with: it starts N children with
// vfork and execve, captures stdout and stderr of each through a pipe of its
// own, learns of their ends through pidfds in one epoll, starts another at
// once, and on SIGTERM asks all to stop and leaves after the last. It has no
// configuration, no state and nothing to ask: what it costs is what the kernel
// costs.
//
//   baseline N CHILD MODE BOARD [FILE]   FILE gets all that they write
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

// What a descriptor in the epoll is. OUT and ERR index child.pipe.
enum kind { OUT, ERR, END, TERM };

struct child {
	pid_t pid;
	int pidfd;
	int pipe[2];     // our ends of stdout and stderr; -1: closed
	uint32_t starts; // tells an event of this run from one of the run before
};

extern char **environ;

static struct child *children;
static int wanted, running, stopping;
static int epoll, null, file = -1;
static char **program; // CHILD MODE BOARD

static void die(const char *what) {
	perror(what);
	exit(1);
}

static uint64_t tag(int i, enum kind k) { return (uint64_t)children[i].starts << 32 | (uint64_t)i << 2 | k; }

static void watch(int fd, uint64_t tag) {
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = tag};
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
}

static void start(int i) {
	struct child *c = &children[i];
	char slot[16], *argv[] = {program[0], program[1], slot, program[2], 0};
	snprintf(slot, sizeof slot, "%d", i + 1);

	int out[2], err[2];
	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) die("pipe");
	sigset_t none;
	sigemptyset(&none);

	pid_t pid = vfork();
	if (pid == 0) {
		dup2(null, 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		setpgid(0, 0);
		sigprocmask(SIG_SETMASK, &none, 0);
		execve(argv[0], argv, environ);
		_exit(127);
	}
	if (pid < 0) die("vfork");
	close(out[1]);
	close(err[1]);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);

	c->pid = pid;
	c->pipe[OUT] = out[0];
	c->pipe[ERR] = err[0];
	c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (c->pidfd < 0) die("pidfd_open");
	c->starts++;
	watch(c->pipe[OUT], tag(i, OUT));
	watch(c->pipe[ERR], tag(i, ERR));
	watch(c->pidfd, tag(i, END));
	running++;
}

// A descriptor leaves the epoll before it is closed: a child between vfork and
// execve still holds a copy, and as long as it does, epoll goes on reporting it.
static void unwatch(int fd) {
	epoll_ctl(epoll, EPOLL_CTL_DEL, fd, 0);
	close(fd);
}

static void drain(struct child *c, enum kind k) {
	static char buf[65536];
	ssize_t n;
	while (c->pipe[k] >= 0 && (n = read(c->pipe[k], buf, sizeof buf)) >= 0) {
		for (ssize_t at = 0; file >= 0 && at < n;) {
			ssize_t w = write(file, buf + at, (size_t)(n - at));
			if (w < 0) die("write");
			at += w;
		}
		if (n > 0) continue;
		unwatch(c->pipe[k]);
		c->pipe[k] = -1;
	}
}

static void ended(int i) {
	struct child *c = &children[i];
	siginfo_t info = {0};
	if (waitid(P_PIDFD, (id_t)c->pidfd, &info, WEXITED | WNOHANG)) die("waitid");
	if (!info.si_pid) return;
	running--;
	unwatch(c->pidfd);
	for (enum kind k = OUT; k <= ERR; k++) {
		drain(c, k);
		if (c->pipe[k] >= 0) unwatch(c->pipe[k]);
	}
	c->pid = 0;
	if (!stopping) start(i);
}

static void stop(void) {
	stopping = 1;
	for (int i = 0; i < wanted; i++)
		if (children[i].pid) kill(children[i].pid, SIGTERM);
}

static void happened(uint64_t t) {
	enum kind k = t & 3;
	int i = (int)(t >> 2 & 0x3fffffff);
	if (k == TERM) {
		if (!stopping) stop();
	} else if (children[i].starts != t >> 32) {
		return; // of the run before, which has been dealt with
	} else if (k == END) {
		ended(i);
	} else {
		drain(&children[i], k);
	}
}

int main(int argc, char **argv) {
	if (argc != 5 && argc != 6) return 2;
	if (argc == 6 && (file = open(argv[5], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0) die(argv[5]);
	wanted = atoi(argv[1]);
	program = argv + 2;
	children = calloc((size_t)wanted + 1, sizeof *children);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!children || null < 0 || epoll < 0) die("baseline");

	sigset_t term;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, 0);
	watch(signalfd(-1, &term, SFD_CLOEXEC), TERM);

	for (int i = 0; i < wanted; i++) start(i);
	while (!stopping || running > 0) {
		struct epoll_event e[256];
		int n = epoll_wait(epoll, e, 256, -1);
		if (n < 0 && errno != EINTR) die("epoll_wait");
		for (int j = 0; j < n; j++) happened(e[j].data.u64);
	}
	return 0;
}
