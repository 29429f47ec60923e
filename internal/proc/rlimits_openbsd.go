package proc

const rlimitAS = noResource
