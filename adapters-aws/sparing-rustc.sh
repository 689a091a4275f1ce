#!/bin/sh
# How is the EC2 SDK compiled without compiling all of EC2? A rustc wrapper (./bldr sets it) that asks the compiler to put
# off the code of that one crate until something calls it: bldr calls 3 of 800 operations. Everything else passes unchanged, and so
# does that crate where the compiler does not know the option (-Zhint-mostly-unused, which the crate asks for in its own
# manifest and Cargo heeds on nightly only). What is left is most of the whole build and would keep one core busy: two threads
# share it. RUSTC_BOOTSTRAP names the crate, so nothing unstable is let in anywhere else.
case " $* " in
    *" --crate-name aws_sdk_ec2 "*)
        if RUSTC_BOOTSTRAP=1 "$1" -Zhint-mostly-unused --print sysroot >/dev/null 2>&1; then
            RUSTC_BOOTSTRAP=aws_sdk_ec2 exec "$@" -Zhint-mostly-unused -Zthreads=2
        fi
        ;;
esac
exec "$@"
