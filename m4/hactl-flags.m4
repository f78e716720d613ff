# SPDX-License-Identifier: Apache-2.0

# HACTL_ADD_CFLAGS(VARIABLE, FLAG...): appends each flag that the compiler
# takes without a warning. Clang only warns about options it does not know,
# so the probe makes warnings fatal.
AC_DEFUN([HACTL_ADD_CFLAGS], [
m4_foreach_w([hactl_flag], [$2], [
    AS_VAR_PUSHDEF([hactl_var], [hactl_cv_cflag_[]hactl_flag])
    AC_CACHE_CHECK([whether $CC takes hactl_flag], [hactl_var], [
        hactl_saved_cflags=$CFLAGS
        CFLAGS="$CFLAGS -Werror hactl_flag"
        AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[]], [[]])],
            [AS_VAR_SET([hactl_var], [yes])], [AS_VAR_SET([hactl_var], [no])])
        CFLAGS=$hactl_saved_cflags
    ])
    AS_VAR_IF([hactl_var], [yes], [$1="$$1 hactl_flag"])
    AS_VAR_POPDEF([hactl_var])
])])

# HACTL_ADD_LDFLAGS(VARIABLE, FLAG...): the same for the linker.
AC_DEFUN([HACTL_ADD_LDFLAGS], [
m4_foreach([hactl_flag], [m4_shift($@)], [
    AS_VAR_PUSHDEF([hactl_var], [hactl_cv_ldflag_[]hactl_flag])
    AC_CACHE_CHECK([whether the linker takes hactl_flag], [hactl_var], [
        hactl_saved_ldflags=$LDFLAGS
        LDFLAGS="$LDFLAGS -Werror hactl_flag"
        AC_LINK_IFELSE([AC_LANG_PROGRAM([[]], [[]])],
            [AS_VAR_SET([hactl_var], [yes])], [AS_VAR_SET([hactl_var], [no])])
        LDFLAGS=$hactl_saved_ldflags
    ])
    AS_VAR_IF([hactl_var], [yes], [$1="$$1 hactl_flag"])
    AS_VAR_POPDEF([hactl_var])
])])
