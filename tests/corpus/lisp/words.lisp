(defun words (line)
  (loop with start = nil
        for i from 0 to (length line)
        for blank = (or (= i (length line)) (member (char line i) '(#\Space #\Tab)))
        when (and start blank) collect (subseq line start i) and do (setf start nil)
        when (and (not start) (not blank)) do (setf start i)))

(let ((counts (make-hash-table :test 'equal)))
  (loop for line = (read-line *standard-input* nil)
        while line
        do (dolist (word (words line)) (incf (gethash word counts 0))))
  (let ((names (sort (loop for word being the hash-keys of counts collect word) #'string<)))
    (dolist (word names) (format t "~a ~d~%" word (gethash word counts)))))
