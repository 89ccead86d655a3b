program fails
    use, intrinsic :: iso_fortran_env, only: error_unit
    print '(a)', 'before'
    write (error_unit, '(a)') 'wrong'
    stop 3, quiet=.true.
end program
