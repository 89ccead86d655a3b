program words
    implicit none
    character(len=128) :: line
    character(len=32) :: names(64), word
    integer :: counts(64), used, status, i, start, finish
    used = 0
    do
        read (*, '(a)', iostat=status) line
        if (status /= 0) exit
        start = 1
        do
            do while (start <= len_trim(line))
                if (line(start:start) /= ' ') exit
                start = start + 1
            end do
            if (start > len_trim(line)) exit
            finish = index(line(start:), ' ') + start - 2
            word = line(start:finish)
            start = finish + 1
            call count_word(word)
        end do
    end do
    call show
contains
    subroutine count_word(word)
        character(len=*), intent(in) :: word
        integer :: place
        place = 1
        do while (place <= used)
            if (names(place) == word) exit
            place = place + 1
        end do
        if (place > used) then
            used = place
            names(place) = word
            counts(place) = 0
        end if
        counts(place) = counts(place) + 1
    end subroutine
    subroutine show
        logical :: shown(64)
        integer :: turn, least
        shown = .false.
        do turn = 1, used
            least = 0
            do i = 1, used
                if (shown(i)) cycle
                if (least == 0) then
                    least = i
                else if (names(i) < names(least)) then
                    least = i
                end if
            end do
            shown(least) = .true.
            print '(a, 1x, i0)', trim(names(least)), counts(least)
        end do
    end subroutine
end program
