program primes
    implicit none
    integer :: n, i, total
    logical :: prime
    character(len=200) :: line
    total = 0
    line = ''
    do n = 2, 49
        prime = .true.
        do i = 2, int(sqrt(real(n)))
            if (mod(n, i) == 0) prime = .false.
        end do
        if (prime) then
            write (line(len_trim(line) + 1:), '(1x, i0)') n
            total = total + n
        end if
    end do
    print '(a)', trim(adjustl(line))
    print '(i0)', total
end program
