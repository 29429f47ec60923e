//go:build ignore

// The supervised program of the benchmark: tiny and static, so that its own
// start costs little and the same for everybody. It notes when it started and
// when it was asked to stop on a shared board (board.go), so that no figure
// depends on how often anyone looks.
//
//   child sleep SLOT BOARD   note the start, wait for SIGTERM, note it, exit 0
//   child exit  SLOT BOARD   note the start, exit 0
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct board {
	uint64_t started; // starts of all children so far
	uint64_t stopped; // children that were asked to stop
};

struct slot {
	uint64_t first, start, stop; // CLOCK_MONOTONIC, ns
	uint32_t pid, starts;
	uint64_t unused[4];
};

enum { HEAD = 4096 };

static struct board *board;
static struct slot *slot;

static uint64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void asked(int sig) {
	(void)sig;
	slot->stop = now();
	__atomic_add_fetch(&board->stopped, 1, __ATOMIC_SEQ_CST);
	_exit(0);
}

int main(int argc, char **argv) {
	uint64_t start = now();
	if (argc != 4) return 101;

	int fd = open(argv[3], O_RDWR);
	if (fd < 0) return 102;
	size_t at = HEAD + strtoul(argv[2], 0, 10) * sizeof *slot;
	char *m = mmap(0, at + sizeof *slot, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED) return 103;
	close(fd);
	board = (struct board *)m;
	slot = (struct slot *)(m + at);

	struct sigaction sa = {.sa_handler = asked};
	sigaction(SIGTERM, &sa, 0);

	slot->start = start;
	if (!slot->first) slot->first = start;
	slot->pid = (uint32_t)getpid();
	__atomic_add_fetch(&slot->starts, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&board->started, 1, __ATOMIC_SEQ_CST);

	if (argv[1][0] == 'e') return 0;
	for (;;) pause();
}
