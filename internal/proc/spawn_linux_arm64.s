#include "go_asm.h"
#include "textflag.h"

#define SYS_exit 93
#define SYS_rt_sigprocmask 135
#define SYS_clone3 435
#define SIG_SETMASK 2
#define CLONE_ARGS_SIZE 88
#define SIGSET_SIZE 8
#define MAX_ERRNO 4095

// func vforkCalls(v *vfork)
//
// The child runs on the parent's stack while the parent sleeps in clone3. It
// neither stores to the stack, calls nor returns: everything it needs is in R19
// to R21 and in *v, and system calls leave those registers alone.
TEXT ·vforkCalls(SB),NOSPLIT,$0-8
	MOVD	v+0(FP), R19

	// No signal handler may run in the child, on the parent's stack.
	MOVD	$SIG_SETMASK, R0
	ADD	$vfork_allSignals, R19, R1
	ADD	$vfork_oldSignals, R19, R2
	MOVD	$SIGSET_SIZE, R3
	MOVD	$SYS_rt_sigprocmask, R8
	SVC

	ADD	$vfork_clone, R19, R0
	MOVD	$CLONE_ARGS_SIZE, R1
	MOVD	$SYS_clone3, R8
	SVC
	CBZ	R0, child

	MOVD	R0, vfork_pid(R19)
	MOVD	$SIG_SETMASK, R0
	ADD	$vfork_oldSignals, R19, R1
	MOVD	ZR, R2
	MOVD	$SIGSET_SIZE, R3
	MOVD	$SYS_rt_sigprocmask, R8
	SVC
	RET

child:
	MOVD	vfork_calls(R19), R20
	MOVD	ZR, R21

next:
	MOVD	call_number(R20), R8
	MOVD	(call_args+0)(R20), R0
	MOVD	(call_args+8)(R20), R1
	MOVD	(call_args+16)(R20), R2
	MOVD	(call_args+24)(R20), R3
	MOVD	(call_args+32)(R20), R4
	MOVD	(call_args+40)(R20), R5
	SVC
	CMN	$MAX_ERRNO, R0
	BCS	fail
	ADD	$call__size, R20
	ADD	$1, R21
	B	next

fail:
	NEG	R0, R0
	MOVD	R0, vfork_errno(R19)
	MOVD	R21, vfork_failed(R19)

exit:
	MOVD	$127, R0
	MOVD	$SYS_exit, R8
	SVC
	B	exit
