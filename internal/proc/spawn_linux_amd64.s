#include "go_asm.h"
#include "textflag.h"

#define SYS_rt_sigprocmask 14
#define SYS_exit 60
#define SYS_clone3 435
#define SIG_SETMASK 2
#define CLONE_ARGS_SIZE 88
#define SIGSET_SIZE 8
#define MAX_ERRNO 4095

// func vforkCalls(v *vfork)
//
// The child runs on the parent's stack while the parent sleeps in clone3. It
// neither pushes, calls nor returns: everything it needs is in R12 to R15 and
// in *v, and system calls leave those registers alone.
TEXT ·vforkCalls(SB),NOSPLIT,$0-8
	MOVQ	v+0(FP), R12

	// No signal handler may run in the child, on the parent's stack.
	MOVQ	$SYS_rt_sigprocmask, AX
	MOVQ	$SIG_SETMASK, DI
	LEAQ	vfork_allSignals(R12), SI
	LEAQ	vfork_oldSignals(R12), DX
	MOVQ	$SIGSET_SIZE, R10
	SYSCALL

	MOVQ	$SYS_clone3, AX
	LEAQ	vfork_clone(R12), DI
	MOVQ	$CLONE_ARGS_SIZE, SI
	SYSCALL
	TESTQ	AX, AX
	JZ	child

	MOVQ	AX, vfork_pid(R12)
	MOVQ	$SYS_rt_sigprocmask, AX
	MOVQ	$SIG_SETMASK, DI
	LEAQ	vfork_oldSignals(R12), SI
	XORL	DX, DX
	MOVQ	$SIGSET_SIZE, R10
	SYSCALL
	RET

child:
	MOVQ	vfork_calls(R12), R13
	XORL	R15, R15

next:
	MOVQ	call_number(R13), AX
	MOVQ	(call_args+0)(R13), DI
	MOVQ	(call_args+8)(R13), SI
	MOVQ	(call_args+16)(R13), DX
	MOVQ	(call_args+24)(R13), R10
	MOVQ	(call_args+32)(R13), R8
	MOVQ	(call_args+40)(R13), R9
	SYSCALL
	CMPQ	AX, $-MAX_ERRNO
	JCC	fail
	ADDQ	$call__size, R13
	INCQ	R15
	JMP	next

fail:
	NEGQ	AX
	MOVQ	AX, vfork_errno(R12)
	MOVQ	R15, vfork_failed(R12)

exit:
	MOVQ	$SYS_exit, AX
	MOVQ	$127, DI
	SYSCALL
	JMP	exit
