//go:build ignore

// The load of the status and events tests: one thread, one epoll, N keep-alive
// connections to a unix socket. Each sends a request, takes the whole answer and
// sends the next at once. It does as little as can be, so that what is measured
// is the server.
//
//   load SOCKET CONNECTIONS AMOUNT <REQUEST
//
// AMOUNT is a number of requests, or a time: 5s. One line of JSON tells what came
// out; an answer that is not a 2xx counts as an error.
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER = 1 << 20, REQUEST = 1 << 16, EVENTS = 64 };

struct connection {
	int fd;
	size_t got; // bytes of the answer so far
	uint64_t sent;
	char *answer; // ANSWER + 1 bytes
};

static char request[REQUEST];
static size_t request_size;
static uint64_t *latencies;
static size_t answers, room, errors;

static uint64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what) {
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int dial(const char *path) {
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof a.sun_path) die("the path of the socket is too long");
	strcpy(a.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a)) die(path);
	return fd;
}

static void ask(struct connection *c) {
	c->got = 0;
	c->sent = now();
	if (write(c->fd, request, request_size) != (ssize_t)request_size) die("request");
}

// header finds the value of a header between from and end, or nothing.
static const char *header(const char *from, const char *end, const char *name) {
	size_t n = strlen(name);
	for (const char *line = from; line && line < end; line = strstr(line, "\r\n") + 2)
		if (!strncasecmp(line, name, n)) return line + n;
	return 0;
}

// whole says whether the answer is complete.
static int whole(struct connection *c) {
	c->answer[c->got] = 0;
	const char *end = strstr(c->answer, "\r\n\r\n");
	if (!end) return 0;
	size_t head = (size_t)(end + 4 - c->answer);
	const char *length = header(c->answer, end, "content-length:");
	if (length) return c->got >= head + strtoul(length, 0, 10);
	return c->got >= head + 5 && !memcmp(c->answer + c->got - 5, "0\r\n\r\n", 5);
}

static void answered(struct connection *c, uint64_t t) {
	if (answers == room) {
		room = room ? 2 * room : 1 << 16;
		latencies = realloc(latencies, room * sizeof *latencies);
		if (!latencies) die("memory");
	}
	latencies[answers++] = t - c->sent;
	if (strncmp(c->answer, "HTTP/1.1 2", 10)) errors++;
}

// take reads what has come, and says whether the answer is complete.
static int take(struct connection *c) {
	if (c->got == ANSWER) {
		errno = EMSGSIZE;
		die("answer");
	}
	ssize_t n = read(c->fd, c->answer + c->got, ANSWER - c->got);
	if (n < 0) die("answer");
	if (n == 0) {
		errno = ECONNRESET;
		die("answer");
	}
	c->got += (size_t)n;
	return whole(c);
}

static int order(const void *a, const void *b) {
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static double percentile(double p) {
	size_t rank = (size_t)(p / 100 * (double)answers);
	return (double)latencies[rank < answers ? rank : answers - 1] / 1e3;
}

int main(int argc, char **argv) {
	if (argc != 4) return 2;
	int connections = atoi(argv[2]);
	char *unit;
	double amount = strtod(argv[3], &unit);
	size_t wanted = *unit == 's' ? SIZE_MAX : (size_t)amount;
	while (request_size < REQUEST) {
		ssize_t n = read(0, request + request_size, REQUEST - request_size);
		if (n <= 0) break;
		request_size += (size_t)n;
	}

	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct connection *all = calloc((size_t)connections, sizeof *all);
	for (int i = 0; i < connections; i++) {
		all[i].fd = dial(argv[1]);
		all[i].answer = malloc(ANSWER + 1);
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = &all[i]};
		if (!all[i].answer || epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &e)) die("connection");
	}
	uint64_t began = now(), end = *unit == 's' ? began + (uint64_t)(amount * 1e9) : UINT64_MAX;
	size_t asked = 0;
	for (int i = 0; i < connections && asked < wanted; i++, asked++) ask(&all[i]);
	uint64_t t = began;
	while (t < end && answers < wanted) {
		struct epoll_event e[EVENTS];
		int n = epoll_wait(epoll, e, EVENTS, 1000);
		if (n < 0 && errno != EINTR) die("epoll_wait");
		for (int i = 0; i < n; i++) {
			struct connection *c = e[i].data.ptr;
			if (!take(c)) continue;
			answered(c, now());
			if (asked < wanted) asked++, ask(c);
		}
		t = now();
	}
	if (!answers) die("no answer");
	qsort(latencies, answers, sizeof *latencies, order);
	printf("{\"answers\":%zu,\"errors\":%zu,\"seconds\":%.6f,\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f}\n", answers, errors,
		(double)(t - began) / 1e9, percentile(50), percentile(99), (double)latencies[answers - 1] / 1e3);
	return 0;
}
