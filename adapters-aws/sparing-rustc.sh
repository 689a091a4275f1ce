#!/bin/sh
# How are the SDKs of EC2 and S3 compiled without compiling all of them? A rustc wrapper (./bldr sets it) that asks the compiler to put
# off the code of these two crates until something calls it: bldr calls fewer than 20 of 800 operations, and 6 of 110. Everything else passes
# unchanged, and so do they where the compiler does not know the option (-Zhint-mostly-unused, which both ask for in their own
# manifests and Cargo heeds on nightly only). What is left is most of the whole build and would keep one core busy: two threads
# share it. RUSTC_BOOTSTRAP names the crate, so nothing unstable is let in anywhere else.
case " $* " in
    *" --crate-name aws_sdk_ec2 "* | *" --crate-name aws_sdk_s3 "*)
        if RUSTC_BOOTSTRAP=1 "$1" -Zhint-mostly-unused --print sysroot >/dev/null 2>&1; then
            RUSTC_BOOTSTRAP=aws_sdk_ec2,aws_sdk_s3 exec "$@" -Zhint-mostly-unused -Zthreads=2
        fi
        ;;
esac
exec "$@"
