(format t "before~%")
(format *error-output* "wrong~%")
(sb-ext:exit :code 3)
