//go:build ignore

// The supervised program of the benchmark: tiny and static, so that its own
// start costs little and the same for everybody. It notes when it started and
// when it was asked to stop on a shared board (board.go), so that no figure
// depends on how often anyone looks.
//
//   child sleep SLOT BOARD   note the start, wait for SIGTERM, note it, exit 0
//   child exit  SLOT BOARD   note the start, exit 0
//   child N     SLOT BOARD   note the start, write N lines of 100 bytes, the last of
//                            which begins with LAST, then as sleep
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
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

enum { LINE = 100, BLOCK = 40 }; // 4,000 bytes at a time, as stdio would

// speak writes so many lines.
static void speak(unsigned long lines) {
	static char block[BLOCK * LINE];
	memset(block, 'x', sizeof block);
	for (int i = 1; i <= BLOCK; i++) block[i * LINE - 1] = '\n';
	while (lines) {
		unsigned long n = lines < BLOCK ? lines : BLOCK;
		lines -= n;
		if (!lines) memcpy(block + (n - 1) * LINE, "LAST", 4);
		for (size_t at = 0; at < n * LINE;) {
			ssize_t w = write(1, block + at, n * LINE - at);
			if (w < 0) _exit(104);
			at += (size_t)w;
		}
	}
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
	if (argv[1][0] >= '0' && argv[1][0] <= '9') speak(strtoul(argv[1], 0, 10));
	for (;;) pause();
}
