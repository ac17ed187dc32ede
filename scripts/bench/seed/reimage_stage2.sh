set -e
bzcat os.img.bz2 | pv | dd of=/dev/sda bs=1M
