mkdir /tmp/retentionlist/data
mkdir /tmp/retentionlist/metadata

for f in `cat /tmp/retentionlist/retentionlist.txt`;
do
    if [ -d $f ]; then
        cp -r -v $f /tmp/retentionlist/data/
    fi
    if [ -f $f ]; then
        cp -v $f /tmp/retentionlist/data/
    fi
    if [ -e $f ]; then
        find `dirname "$f"` -path "$f" -prune -printf '%m\t%u\t%g\t%p\n' >> /tmp/retentionlist/metadata/savedperms
    fi
done
