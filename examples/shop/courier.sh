# A courier whose van breaks down again and again.
echo "on the road"
sleep 1
echo "the van broke down" >&2
exit 3
