(defun primep (n)
  (loop for i from 2 to (isqrt n) never (zerop (mod n i))))

(let ((primes (loop for n from 2 below 50 when (primep n) collect n)))
  (format t "~{~d~^ ~}~%~d~%" primes (reduce #'+ primes)))
